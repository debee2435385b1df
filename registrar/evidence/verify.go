package evidence

import (
	"archive/tar"
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/briskest/briskest/internal/strictjson"
	"github.com/briskest/briskest/internal/trail"
)

// VerifyOptions says what an archive is held against.
type VerifyOptions struct {
	// Key is the trail's public key, from where the caller trusts. Nil: the archive's
	// own, whose fingerprint the report has: then somebody has to compare that.
	Key crypto.PublicKey
	// Witness is a head that was kept elsewhere, with a verified signature; nil for
	// none. It has to be the archive's.
	Witness *trail.Head
	// Columns is as in [Write].
	Columns Columns
	// Open opens a voucher or voucher-request, and tells what is in it in a line for
	// people. Nil: nothing is said of them.
	Open func(artifact []byte) (string, error)
}

// Report is what a verified archive shows.
type Report struct {
	Subject     Subject
	Origin      string
	MadeAt      time.Time
	MadeBy      string
	Head        *trail.Head
	Fingerprint string // SHA-256 of the trail's public key (SubjectPublicKeyInfo), in hex
	KeyGiven    bool   // it is the one that the caller trusts
	Entries     int
	Records     int
	Artifacts   int
	Notes       []string // what is in certificates and vouchers
	Omitted     []string
}

// Verify checks an archive of at most [MaxArchive] bytes: that it is whole and in
// its one form, that its manifest and head are signed by the trail's key, that
// each entry is in the trail (RFC 9162, Section 2.1.3.2), and that each record and
// artifact is what its entry vouches for, and no entry here says otherwise later.
// Everything else is an error that wraps [ErrArchive].
func Verify(r io.Reader, opts *VerifyOptions) (*Report, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxArchive+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxArchive {
		return nil, broken("it is larger than the %d MiB that an archive may have", MaxArchive>>20)
	}
	files, err := unpack(data)
	if err != nil {
		return nil, err
	}
	m, err := readManifest(files[manifestFile])
	if err != nil {
		return nil, err
	}
	key, err := readKey(files[keyFile])
	if err != nil {
		return nil, err
	}
	if opts.Key != nil && !same(opts.Key, key) {
		return nil, broken("it is signed with another key than the trail's that was given")
	}
	c, err := m.content(files, key)
	if err != nil {
		return nil, err
	}
	if err := c.rebuild(data, files, opts.Columns); err != nil {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	if w := opts.Witness; w != nil && (w.Number != c.Head.Number || w.Size != c.Head.Size || w.Root != c.Head.Root) {
		return nil, broken("its head is %d and the witness's is %d: let the registrar prove with trail consistency that one follows from the other", c.Head.Number, w.Number)
	}
	return c.report(files, key, opts)
}

// nameForm is what names of files look like.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]*(/[A-Za-z0-9][A-Za-z0-9.-]*)?$`)

// unpack reads a tar file with nothing but plain files, in order.
func unpack(data []byte) (map[string][]byte, error) {
	files := make(map[string][]byte)
	in := tar.NewReader(bytes.NewReader(data))
	last := ""
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, broken("it is no archive: %v", err)
		}
		switch {
		case h.Typeflag != tar.TypeReg || h.Format != tar.FormatUSTAR:
			return nil, broken("%.100q is not a plain file", h.Name)
		case len(h.Name) > maxName || !nameForm.MatchString(h.Name) || strings.Contains(h.Name, ".."):
			return nil, broken("a file has the name %.100q", h.Name)
		case h.Name <= last:
			return nil, broken("%q comes after %q: a file is there twice, or out of order", h.Name, last)
		case h.Size < 0 || h.Size > int64(len(data)):
			return nil, broken("%q is said to be %d bytes, more than the whole archive", h.Name, h.Size)
		case len(files) == MaxFiles:
			return nil, broken("there are more than %d files", MaxFiles)
		}
		content := make([]byte, h.Size)
		if _, err := io.ReadFull(in, content); err != nil {
			return nil, broken("%q is cut short", h.Name)
		}
		files[h.Name], last = content, h.Name
	}
}

func readManifest(data []byte) (*manifest, error) {
	if data == nil {
		return nil, broken("it has no %s", manifestFile)
	}
	if err := strictjson.Value(data, strictjson.Limits{Bytes: MaxArchive, Depth: 8, Members: 4_000_000}, 1); err != nil {
		return nil, broken("%s: %v", manifestFile, err)
	}
	m := &manifest{}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(m); err != nil {
		return nil, broken("%s: %v", manifestFile, err)
	}
	if m.Version != 1 {
		return nil, broken("it is of version %d; this program reads version 1", m.Version)
	}
	if m.CAs < 0 || m.CAs > 99 {
		return nil, broken("it speaks of %d certificates of CAs", m.CAs)
	}
	return m, nil
}

func readKey(data []byte) (crypto.PublicKey, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, broken("it has no public key in %s", keyFile)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, broken("%s: %v", keyFile, err)
	}
	return key, nil
}

func same(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// content takes out of the files what everything else follows from. The
// signatures of manifest and head are good when it returns.
func (m *manifest) content(files map[string][]byte, key crypto.PublicKey) (*Content, error) {
	said, err := trail.OpenNote(files[signatureFile], signedOrigin(m.Origin), key)
	if err != nil {
		return nil, broken("the signature of the manifest: %v", err)
	}
	if want := signed(files[manifestFile]); said.Root != want.Root || said.Number != want.Number || said.Size != want.Size {
		return nil, broken("the manifest is not the one that was signed")
	}
	head, err := trail.OpenNote(files[headFile], m.Origin, key)
	if err != nil {
		return nil, broken("the head of the trail: %v", err)
	}
	if head.Number != m.Head || head.Size != m.Size {
		return nil, broken("the manifest speaks of head %d, and %s is head %d", m.Head, headFile, head.Number)
	}
	c := &Content{
		Subject: m.Subject, Origin: m.Origin, MadeAt: m.MadeAt, MadeBy: m.MadeBy, Program: m.Program,
		Extract: trail.Extract{Head: head, Omitted: m.Omitted},
	}
	for _, line := range m.Entries {
		p := trail.Proved{Seq: line.Seq, Leaf: files[fmt.Sprintf("entries/%012d.leaf", line.Seq)]}
		if p.Leaf == nil || len(line.Hashes) > trail.MaxProof {
			return nil, broken("entry %d is not there", line.Seq)
		}
		for _, h := range line.Hashes {
			if len(h) != sha256.Size {
				return nil, broken("the proof of entry %d has a hash of %d bytes", line.Seq, len(h))
			}
			p.Hashes = append(p.Hashes, [32]byte(h))
		}
		c.Entries = append(c.Entries, p)
	}
	for i, line := range m.Records {
		r := trail.Record{Table: line.Table, Seq: line.Entry, Values: files[recordName(i, line.Table)+".bin"]}
		if r.Values == nil {
			return nil, broken("record %d is not there", i)
		}
		c.Records = append(c.Records, r)
	}
	for i := range m.CAs {
		c.CAs = append(c.CAs, files[fmt.Sprintf("cas/%02d.der", i)])
	}
	return c, nil
}

// rebuild makes the archive again, and compares.
func (c *Content) rebuild(data []byte, files map[string][]byte, columns Columns) error {
	built, err := c.files(columns, files[keyFile], files[headFile])
	if err != nil {
		return err
	}
	m, err := c.manifest(built)
	if err != nil {
		return err
	}
	built[manifestFile], built[signatureFile] = m, files[signatureFile]
	for name, content := range built {
		if got, ok := files[name]; !ok {
			return broken("%s is not there", name)
		} else if !bytes.Equal(got, content) {
			return broken("%s is not what follows from the rest", name)
		}
	}
	for name := range files {
		if _, ok := built[name]; !ok {
			return broken("%s does not belong there", name)
		}
	}
	again, err := packed(built)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, data) {
		return broken("the archive is not in the form that it was written in")
	}
	return nil
}

// check proves entries and records.
func (c *Content) check() error {
	newest := make(map[string][32]byte) // by label and key: what the entries said last
	entries := make(map[int64]*trail.Entry)
	last := int64(-1)
	for i := range c.Entries {
		p := &c.Entries[i]
		if p.Seq <= last {
			return broken("entry %d comes after entry %d", p.Seq, last)
		}
		last = p.Seq
		in := &trail.Inclusion{Seq: p.Seq, Size: c.Head.Size, Hashes: p.Hashes}
		if err := in.Verify(p.Leaf, c.Head.Root); err != nil {
			return broken("%v", err)
		}
		e, err := trail.DecodeEntry(p.Leaf)
		if err != nil || e.Seq != p.Seq {
			return broken("entry %d: %v", p.Seq, err)
		}
		entries[p.Seq] = e
		for n := range e.Rows {
			newest[e.Rows[n].Table+"\x00"+string(e.Rows[n].Key)] = e.Rows[n].Sum
		}
	}
	for i := range c.Records {
		if err := c.checkRecord(i, entries[c.Records[i].Seq], newest); err != nil {
			return err
		}
	}
	return nil
}

func (c *Content) checkRecord(i int, e *trail.Entry, newest map[string][32]byte) error {
	r := &c.Records[i]
	if e == nil {
		return broken("record %d names entry %d, which is not there", i, r.Seq)
	}
	sum := sha256.Sum256(r.Values)
	for n := range e.Rows {
		row := &e.Rows[n]
		if row.Table != r.Table || row.Sum != sum || !bytes.HasPrefix(r.Values, row.Key) {
			continue
		}
		if newest[row.Table+"\x00"+string(row.Key)] != sum {
			return broken("record %d is not the newest: a later entry changed it", i)
		}
		return nil
	}
	return broken("record %d, of %s, is not what entry %d vouches for", i, r.Table, r.Seq)
}

func (c *Content) report(files map[string][]byte, key crypto.PublicKey, opts *VerifyOptions) (*Report, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(der)
	r := &Report{
		Subject: c.Subject, Origin: c.Origin, MadeAt: c.MadeAt, MadeBy: c.MadeBy, Head: c.Head, Fingerprint: hex.EncodeToString(sum[:]),
		KeyGiven: opts.Key != nil, Entries: len(c.Entries), Records: len(c.Records), Omitted: c.Omitted,
	}
	if err := c.checkSubject(opts.Columns); err != nil {
		return nil, err
	}
	for name := range files {
		if strings.HasPrefix(name, "artifacts/") {
			r.Artifacts++
		}
	}
	r.Notes = c.notes(files, opts)
	return r, nil
}

// checkSubject holds what the manifest says of the device against its record.
func (c *Content) checkSubject(columns Columns) error {
	for i := range c.Records {
		if c.Records[i].Table != "devices" {
			continue
		}
		keys, others := columns("devices")
		values, err := trail.Values(c.Records[i].Values)
		if err != nil {
			return broken("record %d: %v", i, err)
		}
		is := make(map[string]any)
		for n, name := range append(slices.Clone(keys), others...) {
			is[name] = values[n]
		}
		s := &c.Subject
		if is["domain"] != s.Domain || is["id"] != s.ID || is["manufacturer"] != s.Manufacturer || is["serial_number"] != s.SerialNumber || is["state"] != s.State {
			return broken("the manifest speaks of another device than the record, or of another state")
		}
		return nil
	}
	return broken("there is no record of the device")
}

package evidence

import (
	"archive/tar"
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/briskest/briskest/internal/trail"
)

// manifest is manifest.json.
type manifest struct {
	Version int            `json:"version"` // 1
	Program string         `json:"program"`
	Origin  string         `json:"origin"`
	Subject Subject        `json:"device"`
	MadeAt  time.Time      `json:"made_at"`
	MadeBy  string         `json:"made_by"`
	Head    int64          `json:"head"`
	Size    int64          `json:"entries_in_trail"`
	Entries []manifestLine `json:"entries"`
	Records []recordLine   `json:"records"`
	CAs     int            `json:"cas"`
	Omitted []string       `json:"omitted"`
	Files   []fileLine     `json:"files"`
}

type manifestLine struct {
	Seq    int64    `json:"seq"`
	Hashes [][]byte `json:"hashes"` // of the inclusion proof (RFC 9162, Section 2.1.3)
}

type recordLine struct {
	Table string `json:"table"`
	Entry int64  `json:"entry"` // that has its digest
}

type fileLine struct {
	Name   string `json:"name"`
	Size   int    `json:"size"`
	SHA256 string `json:"sha256"`
}

// Write writes the archive, signed with the trail's key. Entries are in order;
// records are written in the order of their tables and keys. What would be larger
// than a verifier takes is an error.
func Write(w io.Writer, c *Content, columns Columns, key Signer) error {
	pub, err := publicKey(key)
	if err != nil {
		return err
	}
	head, err := c.Head.Note(c.Origin, key.Public())
	if err != nil {
		return err
	}
	c.MadeAt = c.MadeAt.UTC().Truncate(time.Second)
	files, err := c.files(columns, pub, head)
	if err != nil {
		return err
	}
	m, err := c.manifest(files)
	if err != nil {
		return err
	}
	signature, err := sign(c.Origin, m, key)
	if err != nil {
		return err
	}
	files[manifestFile], files[signatureFile] = m, signature
	return pack(w, files)
}

func publicKey(key Signer) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("trail key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

func (c *Content) manifest(files map[string][]byte) ([]byte, error) {
	m := &manifest{
		Version: 1, Program: c.Program, Origin: c.Origin, Subject: c.Subject, MadeAt: c.MadeAt, MadeBy: c.MadeBy,
		Head: c.Head.Number, Size: c.Head.Size, CAs: len(c.CAs), Omitted: c.Omitted,
	}
	for i := range c.Entries {
		line := manifestLine{Seq: c.Entries[i].Seq, Hashes: make([][]byte, len(c.Entries[i].Hashes))}
		for n, h := range c.Entries[i].Hashes {
			line.Hashes[n] = h[:]
		}
		m.Entries = append(m.Entries, line)
	}
	for i := range c.Records {
		m.Records = append(m.Records, recordLine{c.Records[i].Table, c.Records[i].Seq})
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		sum := sha256.Sum256(files[name])
		m.Files = append(m.Files, fileLine{name, len(files[name]), hex.EncodeToString(sum[:])})
	}
	return indented(m)
}

// signed is what stands for a manifest in its signature: a head of a log of its
// own, so that no signature of the trail's key is taken for one of the other kind.
func signed(m []byte) *trail.Head { return &trail.Head{Number: 1, Size: 1, Root: sha256.Sum256(m)} }

func signedOrigin(origin string) string { return origin + "/evidence" }

func sign(origin string, m []byte, key Signer) ([]byte, error) {
	h := signed(m)
	if err := h.Sign(signedOrigin(origin), key); err != nil {
		return nil, fmt.Errorf("sign the manifest: %w", err)
	}
	return h.Note(signedOrigin(origin), key.Public())
}

// pack writes the files in the one form that archives have.
func pack(w io.Writer, files map[string][]byte) error {
	if len(files) > MaxFiles {
		return fmt.Errorf("evidence: %d files, and an archive has at most %d", len(files), MaxFiles)
	}
	total := 0
	out := tar.NewWriter(w)
	for _, name := range slices.SortedFunc(maps.Keys(files), cmp.Compare[string]) {
		data := files[name]
		if total += len(data) + 1024; total > MaxArchive-4096 {
			return fmt.Errorf("evidence: it takes more than the %d MiB that an archive may have", MaxArchive>>20)
		}
		if err := out.WriteHeader(header(name, len(data))); err != nil {
			return fmt.Errorf("evidence: %s: %w", name, err)
		}
		if _, err := out.Write(data); err != nil {
			return fmt.Errorf("evidence: %w", err)
		}
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("evidence: %w", err)
	}
	return nil
}

func header(name string, size int) *tar.Header {
	return &tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: int64(size), Mode: 0o444, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR,
	}
}

// packed is what pack writes.
func packed(files map[string][]byte) ([]byte, error) {
	var b bytes.Buffer
	err := pack(&b, files)
	return b.Bytes(), err
}

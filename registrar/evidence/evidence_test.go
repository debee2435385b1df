package evidence_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar/evidence"
)

const origin = "briskest/registrar"

func key(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func columns(label string) (keys, others []string) {
	switch label {
	case "devices":
		return []string{"domain", "id"}, []string{"manufacturer", "serial_number", "state", "idevid"}
	case "vouchers":
		return []string{"domain", "id"}, []string{"voucher"}
	default:
		return nil, nil
	}
}

func values(all ...any) (key, whole []byte) {
	for i, v := range all {
		whole = trail.AppendValue(whole, v)
		if i == 1 {
			key = bytes.Clone(whole)
		}
	}
	return key, whole
}

// content is a device in a log of nine entries, of which three tell of it.
func content(tb testing.TB) *evidence.Content {
	tb.Helper()
	deviceKey, expected := values("default", "01", "acme", "S-1", "expected", nil)
	_, enrolled := values("default", "01", "acme", "S-1", "enrolled", []byte("an IDevID"))
	voucherKey, voucher := values("default", "77", []byte("a voucher"))
	var leaves [][]byte
	for n := range int64(9) {
		e := &trail.Entry{Seq: n, At: time.UnixMicro(1_900_000_000_000_000 + n), Domain: "default", Kind: "other", Body: []byte(`{"a":"<b>"}`)}
		switch n {
		case 2:
			e.Rows = []trail.Row{{Table: "devices", Key: deviceKey, Sum: sha256.Sum256(expected)}}
		case 4:
			e.Rows = []trail.Row{{Table: "vouchers", Key: voucherKey, Sum: sha256.Sum256(voucher)}}
		case 7:
			e.Rows = []trail.Row{{Table: "devices", Key: deviceKey, Sum: sha256.Sum256(enrolled)}}
		}
		leaves = append(leaves, e.AppendLeaf(nil))
	}
	p := trail.NewProver(9)
	seqs := []int64{2, 4, 7}
	for _, seq := range seqs {
		if err := p.Include(seq); err != nil {
			tb.Fatal(err)
		}
	}
	for _, leaf := range leaves {
		p.Append(leaf)
	}
	c := &evidence.Content{
		Subject: evidence.Subject{Domain: "default", ID: "01", Manufacturer: "acme", SerialNumber: "S-1", State: "enrolled"},
		Origin:  origin, MadeAt: time.Unix(1_900_000_100, 5), MadeBy: "cli:tester", Program: "test", CAs: [][]byte{[]byte("a CA")},
	}
	c.Head = &trail.Head{Number: 3, Size: 9, Root: p.Root()}
	if err := c.Head.Sign(origin, key(1)); err != nil {
		tb.Fatal(err)
	}
	for _, seq := range seqs {
		in, err := p.Inclusion(seq)
		if err != nil {
			tb.Fatal(err)
		}
		c.Entries = append(c.Entries, trail.Proved{Seq: seq, Leaf: leaves[seq], Hashes: in.Hashes})
	}
	c.Records = []trail.Record{{Table: "devices", Seq: 7, Values: enrolled}, {Table: "vouchers", Seq: 4, Values: voucher}}
	return c
}

func write(tb testing.TB, c *evidence.Content, by ed25519.PrivateKey) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := evidence.Write(&b, c, columns, by); err != nil {
		tb.Fatalf("Write: %v", err)
	}
	return b.Bytes()
}

func verify(data []byte) (*evidence.Report, error) {
	return evidence.Verify(bytes.NewReader(data), &evidence.VerifyOptions{Key: key(1).Public(), Columns: columns})
}

func wantBroken(t *testing.T, data []byte, what string) {
	t.Helper()
	if r, err := verify(data); !errors.Is(err, evidence.ErrArchive) {
		t.Errorf("Verify with %s = %+v, error %v, want ErrArchive", what, r, err)
	}
}

func TestAnArchiveIsVerifiedWithNothingButTheKey(t *testing.T) {
	c := content(t)
	data := write(t, c, key(1))
	if again := write(t, content(t), key(1)); !bytes.Equal(again, data) {
		t.Error("two archives of one state differ")
	}
	r, err := verify(data)
	if err != nil || r.Entries != 3 || r.Records != 2 || r.Artifacts != 2 || r.Subject.State != "enrolled" || !r.KeyGiven || r.Head.Number != 3 {
		t.Fatalf("Verify = %+v, %v", r, err)
	}
	if r, err := evidence.Verify(bytes.NewReader(data), &evidence.VerifyOptions{Columns: columns}); err != nil || r.KeyGiven || len(r.Fingerprint) != 64 {
		t.Errorf("Verify without a key = %+v, %v", r, err)
	}
	wantBroken(t, write(t, resigned(t, c, key(2)), key(2)), "everything signed with another key")
	for name, w := range map[string]*trail.Head{"another": {Number: 4, Size: 10, Root: c.Head.Root}, "a forked": {Number: 3, Size: 9}} {
		opts := &evidence.VerifyOptions{Key: key(1).Public(), Columns: columns, Witness: w}
		if _, err := evidence.Verify(bytes.NewReader(data), opts); !errors.Is(err, evidence.ErrArchive) {
			t.Errorf("Verify with %s head as the witness: %v", name, err)
		}
	}
	opts := &evidence.VerifyOptions{Key: key(1).Public(), Columns: columns, Witness: c.Head}
	if _, err := evidence.Verify(bytes.NewReader(data), opts); err != nil {
		t.Errorf("Verify with its head as the witness: %v", err)
	}
}

func resigned(t *testing.T, c *evidence.Content, by ed25519.PrivateKey) *evidence.Content {
	t.Helper()
	out := *c
	h := *c.Head
	if err := h.Sign(origin, by); err != nil {
		t.Fatal(err)
	}
	out.Head = &h
	return &out
}

// file is one of an archive's.
type file struct {
	name string
	data []byte
}

func unpack(t *testing.T, data []byte) (out []file) {
	t.Helper()
	in := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, file{h.Name, b})
	}
}

func pack(t *testing.T, files []file) []byte {
	t.Helper()
	var b bytes.Buffer
	out := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: int64(len(f.data)), Mode: 0o444, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
		if err := out.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Write(f.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Issue 6, point 7.
func TestAFileChangedAddedRemovedOrRenamedIsFound(t *testing.T) {
	data := write(t, content(t), key(1))
	files := unpack(t, data)
	if !bytes.Equal(pack(t, files), data) {
		t.Fatal("the test does not pack as the archive is packed")
	}
	if len(files) < 16 {
		t.Fatalf("%d files", len(files))
	}
	for i, f := range files {
		with := func(change func(*file)) []byte {
			all := append([]file(nil), files...)
			change(&all[i])
			return pack(t, all)
		}
		wantBroken(t, with(func(f *file) { f.data = append(bytes.Clone(f.data), '\n') }), f.name+" longer")
		wantBroken(t, with(func(f *file) { f.data = f.data[:len(f.data)-1] }), f.name+" shorter")
		wantBroken(t, with(func(f *file) { f.data = nil }), f.name+" empty")
		wantBroken(t, with(func(f *file) { f.name += "x" }), f.name+" renamed")
		for at := 0; at < len(f.data); at += 1 + len(f.data)/23 {
			wantBroken(t, with(func(f *file) { f.data = bytes.Clone(f.data); f.data[at] ^= 4 }), fmt.Sprintf("byte %d of %s changed", at, f.name))
		}
		wantBroken(t, pack(t, append(append([]file(nil), files[:i]...), files[i+1:]...)), f.name+" removed")
		wantBroken(t, pack(t, append(append(append([]file(nil), files[:i+1]...), f), files[i+1:]...)), f.name+" twice")
		added := file{f.name + "0", []byte("x")}
		wantBroken(t, pack(t, append(append(append([]file(nil), files[:i+1]...), added), files[i+1:]...)), "a file after "+f.name)
		if i > 0 {
			all := append([]file(nil), files...)
			all[i], all[i-1] = all[i-1], all[i]
			wantBroken(t, pack(t, all), f.name+" before its time")
			wantBroken(t, with(func(f *file) { f.data = files[i-1].data }), f.name+" with what another file has")
		}
	}
	// Outside of the files too: headers, padding, end.
	for at := 0; at < len(data); at += 61 {
		changed := bytes.Clone(data)
		changed[at] ^= 1
		wantBroken(t, changed, fmt.Sprintf("byte %d of the archive changed", at))
	}
	wantBroken(t, append(bytes.Clone(data), 0), "a byte more at the end")
	wantBroken(t, data[:len(data)-512], "its end cut")
	wantBroken(t, nil, "nothing in it")
}

// What the registrar itself would put in by mistake, or against its trail.
func TestWhatTheTrailDoesNotVouchForIsFoundWhoeverSignedIt(t *testing.T) {
	_, old := values("default", "01", "acme", "S-1", "expected", nil)
	_, other := values("default", "01", "acme", "S-1", "suspended", nil)
	for what, change := range map[string]func(c *evidence.Content){
		"an older record than the newest":    func(c *evidence.Content) { c.Records[0].Values, c.Records[0].Seq, c.Subject.State = old, 2, "expected" },
		"a record that no entry vouches for": func(c *evidence.Content) { c.Records[0].Values, c.Subject.State = other, "suspended" },
		"a record of an entry not there":     func(c *evidence.Content) { c.Records[0].Seq = 5 },
		"another entry's record":             func(c *evidence.Content) { c.Records[0].Seq = 4 },
		"another state than the record":      func(c *evidence.Content) { c.Subject.State = "suspended" },
		"another device than the record":     func(c *evidence.Content) { c.Subject.ID = "02" },
		"no record of the device":            func(c *evidence.Content) { c.Records = c.Records[1:] },
		"an entry at another place":          func(c *evidence.Content) { c.Entries[0].Seq = 1 },
		"a proof of another entry":           func(c *evidence.Content) { c.Entries[0].Hashes = c.Entries[1].Hashes },
		"entries out of order":               func(c *evidence.Content) { c.Entries[0], c.Entries[1] = c.Entries[1], c.Entries[0] },
		"an entry twice":                     func(c *evidence.Content) { c.Entries[1] = c.Entries[0] },
	} {
		c := content(t)
		change(c)
		wantBroken(t, write(t, c, key(1)), what)
	}
}

func rawHeader(t *testing.T, h *tar.Header, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	out := tar.NewWriter(&b)
	if err := out.WriteHeader(h); err != nil {
		t.Fatal(err)
	}
	_, _ = out.Write(body) // as far as it goes; never closed
	return b.Bytes()
}

func TestHostileArchivesAreRefusedWithinBounds(t *testing.T) {
	var zeros bytes.Buffer
	z := gzip.NewWriter(&zeros)
	_, _ = z.Write(make([]byte, 1<<20))
	_ = z.Close()
	hostile := map[string][]byte{
		"a header of 10 GB":        rawHeader(t, &tar.Header{Typeflag: tar.TypeReg, Name: "a", Size: 10 << 30, Format: tar.FormatGNU}, nil),
		"8 GB in the plain format": rawHeader(t, &tar.Header{Typeflag: tar.TypeReg, Name: "a", Size: 8<<30 - 1, Format: tar.FormatUSTAR}, []byte("x")),
		"a compressed archive":     zeros.Bytes(),
		"a link":                   rawHeader(t, &tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "/etc/passwd", Format: tar.FormatUSTAR}, nil),
		"a hard link":              rawHeader(t, &tar.Header{Typeflag: tar.TypeLink, Name: "a", Linkname: "b", Format: tar.FormatUSTAR}, nil),
		"a folder":                 rawHeader(t, &tar.Header{Typeflag: tar.TypeDir, Name: "a/", Format: tar.FormatUSTAR}, nil),
		"a device":                 rawHeader(t, &tar.Header{Typeflag: tar.TypeChar, Name: "a", Format: tar.FormatUSTAR}, nil),
		"extended headers":         rawHeader(t, &tar.Header{Typeflag: tar.TypeReg, Name: "a", PAXRecords: map[string]string{"X.y": strings.Repeat("z", 1<<18)}, Format: tar.FormatPAX}, nil),
		"text":                     []byte(strings.Repeat("no archive ", 100)),
	}
	for _, name := range []string{"../a", "/a", "a/../b", "a//b", "a/b/c", "./a", "a\\b", "a\x00b", ".hidden", strings.Repeat("n", 99) + "/a", "ä"} {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: 1, Format: tar.FormatUSTAR}
		if strings.ContainsAny(name, "ä\x00") {
			h.Format = tar.FormatGNU
			h.Name = strings.ReplaceAll(name, "\x00", "\u00fe")
		}
		hostile[fmt.Sprintf("the name %q", name)] = rawHeader(t, h, []byte("x"))
	}
	for what, data := range hostile {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		wantBroken(t, data, what)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
			t.Errorf("%s took %d bytes of memory", what, used)
		}
	}
	endless := io.MultiReader(bytes.NewReader(rawHeader(t, &tar.Header{Typeflag: tar.TypeReg, Name: "a", Size: 1 << 30, Format: tar.FormatUSTAR}, nil)), endlessReader{})
	if _, err := evidence.Verify(endless, &evidence.VerifyOptions{Columns: columns}); !errors.Is(err, evidence.ErrArchive) {
		t.Errorf("an endless archive: %v", err)
	}
}

type endlessReader struct{}

func (endlessReader) Read(b []byte) (int, error) { return len(b), nil }

func TestAnArchiveThatNobodyWouldVerifyIsNotWritten(t *testing.T) {
	c := content(t)
	c.CAs = [][]byte{make([]byte, evidence.MaxArchive)}
	if err := evidence.Write(io.Discard, c, columns, key(1)); err == nil {
		t.Error("an archive larger than its limit was written")
	}
}

// Whatever is verified is exactly one archive: what was written.
func FuzzVerify(f *testing.F) {
	whole := write(f, content(f), key(1))
	f.Add(whole)
	f.Add(whole[:1024])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := verify(data); err == nil && !bytes.Equal(data, whole) {
			t.Error("something else than what was written is verified")
		} else if err != nil && !errors.Is(err, evidence.ErrArchive) {
			t.Errorf("Verify: error %v does not wrap ErrArchive", err)
		}
	})
}

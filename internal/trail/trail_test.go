package trail_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/briskest/briskest/internal/trail"
)

func entry() *trail.Entry {
	return &trail.Entry{
		Seq: 300, At: time.Date(2030, 1, 2, 3, 4, 5, 6000, time.UTC), Domain: "default", Kind: "certificate-issued",
		Device: "0193", Actor: "est", Reason: "none", Body: []byte(`{"a":1}`),
		Rows: []trail.Row{{Table: "devices", Key: []byte{1, 2}, Sum: [32]byte{3}}, {Table: "crls", Key: []byte{4}}},
	}
}

func TestEntryIsReadBackAsEncoded(t *testing.T) {
	for name, e := range map[string]*trail.Entry{
		"full":  entry(),
		"empty": {At: time.UnixMicro(0).UTC()},
		"old":   {At: time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		got, err := trail.DecodeEntry(e.AppendLeaf(nil))
		if err != nil {
			t.Fatalf("DecodeEntry of the %s entry: %v", name, err)
		}
		if !reflect.DeepEqual(got, e) {
			t.Errorf("DecodeEntry of the %s entry = %+v, want %+v", name, got, e)
		}
	}
}

// The encoding is what earlier trails were hashed over: it must not change.
func TestEncodingOfAnEntryStaysAsItWas(t *testing.T) {
	const want = "01ac028ccd9ec7a88bdd06" + "0764656661756c74" + "12" + "63657274696669636174652d697373756564" +
		"0430313933" + "03657374" + "046e6f6e65" + "077b2261223a317d" + "02" +
		"0764657669636573" + "020102" + "0300000000000000000000000000000000000000000000000000000000000000" +
		"0463726c73" + "0104" + "0000000000000000000000000000000000000000000000000000000000000000"
	if got := fmt.Sprintf("%x", entry().AppendLeaf(nil)); got != want {
		t.Errorf("AppendLeaf = %s, want %s", got, want)
	}
}

func TestDecodeRefusesEveryOtherEncoding(t *testing.T) {
	good := entry().AppendLeaf(nil)
	for n := range good {
		if _, err := trail.DecodeEntry(good[:n]); !errors.Is(err, trail.ErrLeaf) {
			t.Errorf("DecodeEntry of the first %d bytes: error %v, want ErrLeaf", n, err)
		}
	}
	huge := append([]byte{1, 0, 0}, binary.AppendUvarint(nil, 1<<63)...)
	for name, leaf := range map[string][]byte{
		"trailing byte":     append(bytes.Clone(good), 0),
		"another version":   append([]byte{2}, good[1:]...),
		"long number":       append([]byte{1, 0xac, 0x82, 0x00}, good[3:]...),
		"huge field":        huge,
		"rows without room": append([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0}, 0xff, 0x7f),
		"too many bytes":    make([]byte, trail.MaxLeaf+1),
	} {
		if _, err := trail.DecodeEntry(leaf); !errors.Is(err, trail.ErrLeaf) {
			t.Errorf("DecodeEntry with %s: error %v, want ErrLeaf", name, err)
		}
	}
}

// What decodes has exactly one encoding.
func FuzzDecodeEntry(f *testing.F) {
	f.Add(entry().AppendLeaf(nil))
	f.Add((&trail.Entry{}).AppendLeaf(nil))
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, leaf []byte) {
		e, err := trail.DecodeEntry(leaf)
		if err != nil {
			if !errors.Is(err, trail.ErrLeaf) {
				t.Errorf("DecodeEntry: error %v does not wrap ErrLeaf", err)
			}
			return
		}
		if got := e.AppendLeaf(nil); !bytes.Equal(got, leaf) {
			t.Errorf("AppendLeaf after DecodeEntry = %x, want %x", got, leaf)
		}
	})
}

// tlog keeps every hash and is the reference for one that keeps the edge only.
func TestEdgeHasTheRootOfTheWholeTree(t *testing.T) {
	var stored []tlog.Hash
	all := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(at))
		for i, n := range at {
			out[i] = stored[n]
		}
		return out, nil
	})
	edge := &trail.Edge{}
	for n := range int64(300) {
		root, err := tlog.TreeHash(n, all)
		if err != nil {
			t.Fatal(err)
		}
		if edge.Root() != root || edge.Size() != n {
			t.Fatalf("edge of %d entries has size %d and root %x, want %x", n, edge.Size(), edge.Root(), root)
		}
		leaf := fmt.Appendf(nil, "entry %d", n)
		hashes, err := tlog.StoredHashes(n, leaf, all)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hashes...)
		edge = reread(t, edge)
		before := edge.Root()
		clone := edge.Clone()
		clone.Append(leaf)
		if edge.Root() != before {
			t.Fatal("appending to a clone changed the original")
		}
		edge = clone
	}
}

func reread(t *testing.T, e *trail.Edge) *trail.Edge {
	t.Helper()
	b, err := e.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	out := &trail.Edge{}
	if err := out.UnmarshalBinary(b); err != nil {
		t.Fatalf("UnmarshalBinary: %v", err)
	}
	for _, bad := range [][]byte{b[:len(b)-1], append(bytes.Clone(b), 0), nil} {
		if err := new(trail.Edge).UnmarshalBinary(bad); err == nil {
			t.Errorf("UnmarshalBinary of %d bytes instead of %d gave no error", len(bad), len(b))
		}
	}
	return out
}

func TestHeadIsVerifiedOnlyAsSigned(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"Ed25519": ed, "ECDSA": ec} {
		t.Run(name, func(t *testing.T) { checkHead(t, key, ed.Public(), ec.Public()) })
	}
}

func checkHead(t *testing.T, key crypto.Signer, both ...crypto.PublicKey) {
	t.Helper()
	const origin = "briskest/registrar"
	h := &trail.Head{Number: 4, Size: 9, Root: [32]byte{1, 2}}
	if err := h.Sign(origin, key); err != nil {
		t.Fatal(err)
	}
	if err := h.Verify(origin, key.Public()); err != nil {
		t.Errorf("Verify: %v", err)
	}
	msg, err := h.Note(origin, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	got, err := trail.OpenNote(msg, origin, key.Public())
	if err != nil || !reflect.DeepEqual(got, h) {
		t.Errorf("OpenNote = %+v, %v, want %+v", got, err, h)
	}
	for name, change := range map[string]func(h *trail.Head){
		"number":    func(h *trail.Head) { h.Number++ },
		"size":      func(h *trail.Head) { h.Size++ },
		"root":      func(h *trail.Head) { h.Root[31]++ },
		"signature": func(h *trail.Head) { h.Signature = append([]byte{1}, h.Signature[1:]...) },
	} {
		other := *h
		change(&other)
		if err := other.Verify(origin, key.Public()); !errors.Is(err, trail.ErrSignature) {
			t.Errorf("Verify with another %s: error %v, want ErrSignature", name, err)
		}
	}
	if err := h.Verify("briskest/masa", key.Public()); !errors.Is(err, trail.ErrSignature) {
		t.Errorf("Verify for another log: error %v, want ErrSignature", err)
	}
	for _, other := range both {
		if !key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(other) {
			if err := h.Verify(origin, other); !errors.Is(err, trail.ErrSignature) {
				t.Errorf("Verify with another key: error %v, want ErrSignature", err)
			}
		}
	}
}

package cose_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/briskest/briskest/internal/cose"
	"github.com/briskest/briskest/internal/testpki"
)

func fromHex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The examples of RFC 8949, Appendix A that are of definite length, and what Section 3 and Appendix F forbid.
func TestCheckTakesWholeDefiniteItemsOnly(t *testing.T) {
	for _, text := range []string{
		"00", "17", "1818", "1903e8", "1a000f4240", "1b000000e8d4a51000", "1bffffffffffffffff", "20", "3903e7", "f90000", "fb3ff199999999999a",
		"f4", "f6", "f7", "f0", "f8ff", "c074323031332d30332d32315432303a30343a30305a", "c11a514b67b0", "40", "4401020304", "60", "62c3bc",
		"64f0908591", "80", "8301820203820405", "a0", "a201020304", "a26161016162820203",
	} {
		if err := cose.Check(fromHex(t, text), 0, 1); err != nil {
			t.Errorf("Check(%s) = %v", text, err)
		}
	}
	for text, want := range map[string]error{
		"": cose.ErrSyntax, "18": cose.ErrSyntax, "1900": cose.ErrSyntax, "1c": cose.ErrSyntax, "fe": cose.ErrSyntax, "f800": cose.ErrSyntax, "f81f": cose.ErrSyntax,
		"41": cose.ErrSyntax, "5affffffff00": cose.ErrSyntax, "61ff": cose.ErrSyntax, "8101820203": cose.ErrTrailingData, "81": cose.ErrSyntax,
		"a1": cose.ErrSyntax, "a100": cose.ErrSyntax, "c0": cose.ErrSyntax, "c200": cose.ErrTag, "0000": cose.ErrTrailingData,
		"5f42010243030405ff": cose.ErrIndefinite, "7f657374726561646d696e67ff": cose.ErrIndefinite, "9fff": cose.ErrIndefinite, "bfff": cose.ErrIndefinite,
		"ff": cose.ErrIndefinite, "9bffffffffffffffff": cose.ErrSyntax, "bbffffffffffffffff": cose.ErrSyntax, "bb7fffffffffffffff00": cose.ErrSyntax,
	} {
		if err := cose.Check(fromHex(t, text), 0, 1); !errors.Is(err, want) {
			t.Errorf("Check(%s) = %v, want %v", text, err, want)
		}
	}
}

func TestCheckBoundsDepthAndItems(t *testing.T) {
	deep := func(n int) []byte { return append(bytes.Repeat([]byte{0x81}, n-1), 0) }
	if err := cose.Check(deep(cose.MaxDepth)); err != nil {
		t.Errorf("Check(%d levels) = %v", cose.MaxDepth, err)
	}
	if err := cose.Check(deep(cose.MaxDepth + 1)); !errors.Is(err, cose.ErrTooDeep) {
		t.Errorf("Check(%d levels) = %v, want %v", cose.MaxDepth+1, err, cose.ErrTooDeep)
	}
	wide := func(n int) []byte { return append([]byte{0x99, byte(n >> 8), byte(n)}, make([]byte, n)...) }
	if err := cose.Check(wide(cose.MaxItems - 1)); err != nil {
		t.Errorf("Check(%d items) = %v", cose.MaxItems, err)
	}
	if err := cose.Check(wide(cose.MaxItems)); !errors.Is(err, cose.ErrTooLarge) {
		t.Errorf("Check(%d items) = %v, want %v", cose.MaxItems+1, err, cose.ErrTooLarge)
	}
}

func TestEntriesOfAMapAreReadInOrderWithTheirKeys(t *testing.T) {
	pairs, err := cose.ReadMap(fromHex(t, "a30a01"+"d82f1903e8f6"+"616120"), 47)
	if err != nil || len(pairs) != 3 {
		t.Fatalf("ReadMap() = %v, %v", pairs, err)
	}
	want := []any{int64(10), cose.Tag{Number: 47, Content: int64(1000)}, "a"}
	for i, p := range pairs {
		if p.Key != want[i] {
			t.Errorf("key %d is %v, want %v", i, p.Key, want[i])
		}
	}
	for text, want := range map[string]error{
		"80": cose.ErrSyntax, "a14100f6": cose.ErrSyntax, "a1f6f6": cose.ErrSyntax,
		"a2010201f6": cose.ErrDuplicateKey, "a201021801f6": cose.ErrDuplicateKey, "a1d82f6161f6": cose.ErrSyntax,
	} {
		if _, err := cose.ReadMap(fromHex(t, text), 47); !errors.Is(err, want) {
			t.Errorf("ReadMap(%s) = %v, want %v", text, err, want)
		}
	}
}

func TestEncodingIsDeterministic(t *testing.T) {
	for want, v := range map[string]any{
		"a3" + "0a01" + "2000" + "616102": map[any]any{"a": 2, int64(10): 1, int64(-1): 0},
		"f93e00":                          1.5,
		"f97e00":                          math.NaN(),
	} {
		if got, err := cose.Encode(v); err != nil || hex.EncodeToString(got) != want {
			t.Errorf("Encode(%v) = %x, %v, want %s", v, got, err, want)
		}
	}
}

// What Check passes, the library decodes: it is stricter in nothing but keys and integers, and never takes long.
func FuzzCheck(f *testing.F) {
	for _, text := range []string{"a26161016162820203", "d82f1903e8", "8301820203820405", "bfff", "c11a514b67b0", "a2010201f6"} {
		f.Add(fromHex(f, text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if cose.Check(data, 47) != nil {
			return
		}
		var raw cose.RawTag
		var v any
		if err := cose.Decode(data, &v); err != nil && !errors.Is(err, cose.ErrDuplicateKey) && !errors.Is(err, cose.ErrSyntax) {
			t.Errorf("Decode(%x) = %v", data, err)
		}
		if data[0]>>5 == 6 {
			if err := cose.Decode(data, &raw); err != nil {
				t.Errorf("Decode(%x) as a tag = %v", data, err)
			}
		}
		if pairs, err := cose.ReadMap(data, 47); err == nil {
			for _, p := range pairs {
				if err := cose.Check(p.Value, 47); err != nil {
					t.Errorf("value %x of %x: %v", p.Value, data, err)
				}
			}
		}
	})
}

// FuzzParse opens envelopes; what opens has been signed by its signer.
func FuzzParse(f *testing.F) {
	id := testpki.NewRoot(f, "root").Client(f, "signer")
	for _, bare := range []bool{false, true} {
		data, err := cose.Sign(&cose.SignRequest{Payload: []byte{0xa0}, Key: id.Key, Certificate: id.Certificate, Chain: id.Chain, Bare: bare})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add(fromHex(f, "d28443a10126a04100"+"40"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := cose.Parse(data, 1<<16)
		if err != nil {
			return
		}
		if len(m.Certificates()) > cose.MaxCertificates {
			t.Errorf("%d certificates", len(m.Certificates()))
		}
		if signer, err := m.Signer(nil); err == nil && m.Verify(signer) != nil {
			t.Error("the signer did not sign")
		}
	})
}

// FuzzHeaders puts headers around a payload: what is taken has bounds, and a
// signature that nobody made does not hold.
func FuzzHeaders(f *testing.F) {
	id := testpki.NewRoot(f, "root").Client(f, "signer")
	for _, protected := range []string{"a10126", "a1013a0000", "a20126020281182a", "bf0126ff", "a10126a0", "a201260126", ""} {
		f.Add(fromHex(f, protected), fromHex(f, "a0"), []byte{0xa0}, make([]byte, 64))
		f.Add(fromHex(f, protected), fromHex(f, "a118218140"), []byte{0xa0}, make([]byte, 64))
	}
	f.Fuzz(func(t *testing.T, protected, unprotected, payload, signature []byte) {
		text := func(b []byte) []byte {
			out, err := cose.Encode(b)
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		data := slices.Concat([]byte{0xd2, 0x84}, text(protected), unprotected, text(payload), text(signature))
		m, err := cose.Parse(data, 1<<16)
		if err != nil {
			return
		}
		if len(m.Certificates()) > cose.MaxCertificates || m.Verify(id.Certificate) == nil {
			t.Errorf("Parse(%x) = %d certificates, or a signature that holds", data, len(m.Certificates()))
		}
	})
}

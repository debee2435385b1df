package cms_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/cmstest"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// X.690, Sections 8.1.3, 8.7 and 10.1.
func TestBERBecomesDER(t *testing.T) {
	for _, test := range []struct{ name, ber, der string }{
		{"empty sequence", "3000", "3000"},
		{"indefinite sequence", "30800000", "3000"},
		{"indefinite in definite", "30063080050000" + "00", "300430020500"},
		{"definite in indefinite", "3080300205000000", "300430020500"},
		{"long form of a short length", "3081020500", "30020500"},
		{"length with leading zeros", "3084000000020500", "30020500"},
		{"segments, definite", "2406040161040162", "04026162"},
		{"segments, indefinite", "24800401610401620000", "04026162"},
		{"segments in segments", "2480240304016124800401620000" + "0401630000", "0403616263"},
		{"no segments", "24800000", "0400"},
		{"empty segment", "248004000000", "0400"},
		{"context tags keep their content", "a08080010000" + "00", "a003800100"},
		{"constructed context tag of segments stays", "a080040161040162" + "0000", "a006040161040162"},
		{"zeros inside a primitive are no end", "3080040200000000", "300404020000"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := cms.ToDER(unhex(t, test.ber))
			if err != nil || hex.EncodeToString(got) != test.der {
				t.Errorf("ToDER(%s) = %x, %v, want %s", test.ber, got, err, test.der)
			}
		})
	}
}

func TestMalformedBERIsRefused(t *testing.T) {
	for _, test := range []struct {
		name, ber string
		want      error
	}{
		{"nothing", "", cms.ErrSyntax},
		{"tag only", "30", cms.ErrSyntax},
		{"length cut off", "3081", cms.ErrSyntax},
		{"length beyond the end", "300305", cms.ErrSyntax},
		{"length of 127 bytes", "30ff" + "01", cms.ErrSyntax},
		{"length that overflows", "3088ffffffffffffffff00", cms.ErrSyntax},
		{"length of 4 GB", "3084ffffffff00", cms.ErrSyntax},
		{"high tag number", "1f8100", cms.ErrSyntax},
		{"high tag number inside", "30031f8100", cms.ErrSyntax},
		{"end of contents as an element", "0000", cms.ErrSyntax},
		{"end of contents in a definite length", "30020000", cms.ErrSyntax},
		{"end of contents with content", "3080000105" + "0000", cms.ErrSyntax},
		{"indefinite without an end", "30800500", cms.ErrSyntax},
		{"half an end", "3080050000", cms.ErrSyntax},
		{"the end is outside of the parent", "300230800000", cms.ErrSyntax},
		{"primitive of indefinite length", "04800000", cms.ErrSyntax},
		{"child leaves its parent", "3003040261", cms.ErrSyntax},
		{"constructed integer", "2203020101", cms.ErrSyntax},
		{"constructed UTF8String", "2c030c0161", cms.ErrSyntax},
		{"primitive sequence", "1000", cms.ErrSyntax},
		{"segment that is no OCTET STRING", "2403020101", cms.ErrSyntax},
		{"trailing byte", "300000", cms.ErrTrailingData},
		{"trailing byte after an indefinite length", "3080000005", cms.ErrTrailingData},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := cms.ToDER(unhex(t, test.ber))
			if !errors.Is(err, test.want) {
				t.Errorf("ToDER(%s) = %x, %v, want %v", test.ber, got, err, test.want)
			}
		})
	}
}

func TestDERIsNotCopied(t *testing.T) {
	der := signed(t, cmstest.New(t, "P-256"), []byte("content"))
	got, err := cms.ToDER(der)
	if err != nil || &got[0] != &der[0] || len(got) != len(der) {
		t.Errorf("ToDER of DER returned other bytes, %v", err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = cms.ToDER(der) }); n != 0 {
		t.Errorf("ToDER of DER allocates %v times", n)
	}
}

func TestConversionGivesBackTheDER(t *testing.T) {
	id := cmstest.New(t, "P-256")
	random := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		content := make([]byte, random.IntN(5000))
		for i := range content {
			content[i] = byte(random.Uint32())
		}
		der := signed(t, id, content)
		ber := cmstest.Indefinite(der, 1+random.IntN(600))
		if got, err := cms.ToDER(ber); err != nil || !bytes.Equal(got, der) {
			t.Fatalf("ToDER of %d bytes of BER: %v, result as it was: %v", len(ber), err, bytes.Equal(got, der))
		}
	}
}

func TestDepthAndCountLimitsAreExact(t *testing.T) {
	nest := func(n int) []byte {
		der := []byte{5, 0}
		for range n - 1 {
			der = cmstest.Element(0x30, der)
		}
		return der
	}
	wide := func(n int) []byte { return cmstest.Element(0x30, bytes.Repeat([]byte{5, 0}, n-1)) }
	for _, test := range []struct {
		name string
		data []byte
		want error
	}{
		{"deepest", nest(cms.MaxDepth), nil},
		{"too deep", nest(cms.MaxDepth + 1), cms.ErrTooDeep},
		{"80 deep", nest(80), cms.ErrTooDeep},
		{"deepest indefinite", cmstest.Indefinite(nest(cms.MaxDepth), 0), nil},
		{"too deep indefinite", cmstest.Indefinite(nest(cms.MaxDepth+1), 0), cms.ErrTooDeep},
		{"most elements", wide(cms.MaxElements), nil},
		{"too many elements", wide(cms.MaxElements + 1), cms.ErrTooLarge},
		{"largest", cmstest.Element(0x04, make([]byte, cms.MaxSize-5)), nil},
		{"too large", cmstest.Element(0x04, make([]byte, cms.MaxSize-4)), cms.ErrTooLarge},
	} {
		if _, err := cms.ToDER(test.data); !errors.Is(err, test.want) {
			t.Errorf("%s: ToDER of %d bytes: %v, want %v", test.name, len(test.data), err, test.want)
		}
	}
}

// entries are all ways into the package with bytes from a peer.
func entries() map[string]func([]byte) error {
	return map[string]func([]byte) error{
		"ToDER":           func(b []byte) error { _, err := cms.ToDER(b); return err },
		"ParseSignedData": func(b []byte) error { _, err := cms.ParseSignedData(b); return err },
		"ParseCertsOnly":  func(b []byte) error { _, err := cms.ParseCertsOnly(b); return err },
		"ParseCRLsOnly":   func(b []byte) error { _, err := cms.ParseCRLsOnly(b); return err },
		"ParseEnveloped":  func(b []byte) error { _, err := cms.ParseEnveloped(b); return err },
		"Decrypt":         func(b []byte) error { _, err := cms.Decrypt(b, &cms.RecipientKey{}); return err },
	}
}

// shortInputs are those that made other libraries panic.
func shortInputs() []string {
	return []string{"1f80", "1f05", "3081", "308401", "308206", "5f4d"}
}

// Regression R6.
func TestInputsThatBrokeOthersAreErrors(t *testing.T) {
	inputs := [][]byte{nil, bytes.Repeat([]byte{0x30, 0x80}, 80)}
	closed := append(bytes.Repeat([]byte{0x30, 0x80}, 80), bytes.Repeat([]byte{0, 0}, 80)...)
	inputs = append(inputs, closed)
	for _, s := range shortInputs() {
		inputs = append(inputs, unhex(t, s))
	}
	for name, entry := range entries() {
		for _, in := range inputs {
			if err := entry(in); err == nil {
				t.Errorf("%s(%.16x, %d bytes) succeeded, want an error", name, in, len(in))
			}
		}
	}
}

func TestEveryTruncationIsRefused(t *testing.T) {
	der := signed(t, cmstest.New(t, "P-256"), []byte("content"))
	for _, whole := range [][]byte{der, cmstest.Indefinite(der, 3)} {
		for n := range whole {
			if _, err := cms.ParseSignedData(whole[:n]); err == nil {
				t.Errorf("ParseSignedData takes the first %d of %d bytes", n, len(whole))
			}
		}
	}
}

func ExampleToDER() {
	der, err := cms.ToDER([]byte{0x24, 0x80, 0x04, 0x01, 'a', 0x04, 0x01, 'b', 0x00, 0x00})
	fmt.Printf("%x %v\n", der, err)
	// Output: 04026162 <nil>
}

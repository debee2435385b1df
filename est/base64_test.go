package est_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/briskest/briskest/est"
)

// strongSwan 5.9.8 reads one line only, libest no line above about 1000 characters.
func TestAppendBase64KeepsUpTo900CharactersOnOneLine(t *testing.T) {
	for size, wantLines := range map[int]int{0: 1, 1: 1, 672: 1, 675: 1, 676: 15, 2000: 42} {
		text := string(est.AppendBase64([]byte("x"), bytes.Repeat([]byte{0xa5}, size)))
		if !strings.HasPrefix(text, "x") || !strings.HasSuffix(text, "\n") || strings.Count(text, "\n") != wantLines {
			t.Errorf("%d bytes: %d lines, want %d: %q", size, strings.Count(text, "\n"), wantLines, text)
		}
		der, e := est.DecodeBase64([]byte(text[1:]))
		if size > 0 && (e != nil || len(der) != size) {
			t.Errorf("%d bytes come back as %d, %v", size, len(der), e)
		}
	}
}

func TestDecodeBase64WantsCanonicalPadding(t *testing.T) {
	for text, want := range map[string]string{
		"MAA=": "", "M A\tA\r\n=\n": "", "MAAA": "", " ": est.ReasonBodyEmpty, "MAA": est.ReasonBodyBase64, "MAA==": est.ReasonBodyBase64,
		"MAB=": est.ReasonBodyBase64, "MA==MAAA": est.ReasonBodyBase64, "=": est.ReasonBodyBase64, "M\x00AA=": est.ReasonBodyBase64,
		"M\u00a0AA=": est.ReasonBodyBase64, "-----": est.ReasonBodyBase64, "-----BEGIN": est.ReasonBodyPEM, "0\x82ab": est.ReasonBodyDER, "0g==": "",
	} {
		_, e := est.DecodeBase64([]byte(text))
		got := ""
		if e != nil {
			got = e.Reason
		}
		if got != want {
			t.Errorf("DecodeBase64(%q): %q, want %q", text, got, want)
		}
	}
}

func FuzzDecodeBase64(f *testing.F) {
	for _, s := range []string{"MAA=", "M A A =\r\n", "-----BEGIN CERTIFICATE REQUEST-----", "0\x82\x01\x00", "", "MAA", "TUlJQg=="} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		before := bytes.Clone(text)
		der, e := est.DecodeBase64(text)
		if e != nil {
			if !strings.HasPrefix(e.Reason, "body-") || e.Status != 400 {
				t.Errorf("DecodeBase64(%q): %v", before, e)
			}
			return
		}
		// What is taken has one spelling but for white space.
		strip := func(b []byte) string {
			return strings.Join(strings.FieldsFunc(string(b), func(r rune) bool { return r <= ' ' }), "")
		}
		if got, want := strip(est.AppendBase64(nil, der)), strip(before); got != want {
			t.Errorf("DecodeBase64(%q) = %x, which is spelled %q", before, der, got)
		}
	})
}

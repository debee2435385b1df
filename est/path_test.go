package est_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/briskest/briskest/est"
)

// EST-7030-3.2.2-01, EST-7030-3.2.2-10, EST-7030-3.2.2-11.
// RFC 7030, Section 3.2.2.
func TestParsePathKnowsOperationsWithAndWithoutLabel(t *testing.T) {
	for _, op := range []est.Operation{est.OpCACerts, est.OpCSRAttrs, est.OpSimpleEnroll, est.OpSimpleReenroll} {
		for _, label := range []string{"", "ca1", "ca:1", "A.b_c-9", "...", "CACERTS", strings.Repeat("a", 64)} {
			path := "/.well-known/est/" + string(op)
			if label != "" {
				path = "/.well-known/est/" + label + "/" + string(op)
			}
			gotOp, gotLabel, e := est.ParsePath(path)
			if e != nil || gotOp != op || gotLabel != label {
				t.Errorf("ParsePath(%q) = %q, %q, %v", path, gotOp, gotLabel, e)
			}
		}
	}
}

func FuzzPath(f *testing.F) {
	for _, p := range []string{
		"/.well-known/est/cacerts", "/.well-known/est/ca1/simpleenroll", "/.well-known/est//cacerts", "/.well-known/est/../cacerts",
		"/.well-known/est/a%2Fb/simpleenroll", "/.well-known/est/cacerts/", "/.well-known/est/fullcmc", "//", "", "/.well-known/est/;/cacerts",
	} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, path string) {
		op, label, e := est.ParsePath(path)
		if e != nil {
			if op != "" || label != "" || (e.Status != 404 && e.Status != 501) || !strings.HasPrefix(e.Reason, "path-") && e.Reason != est.ReasonOperationMissing {
				t.Errorf("ParsePath(%q) = %q, %q, %v", path, op, label, e)
			}
			return
		}
		// What is served has one spelling, and net/url reads it back as it is.
		want := "/.well-known/est/" + string(op)
		if label != "" {
			want = "/.well-known/est/" + label + "/" + string(op)
		}
		if u, err := url.Parse(path); path != want || err != nil || u.EscapedPath() != path {
			t.Errorf("ParsePath(%q) = %q, %q, which is spelled %q", path, op, label, want)
		}
	})
}

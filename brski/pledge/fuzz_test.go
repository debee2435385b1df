package pledge_test

import (
	"net"
	"net/url"
	"testing"

	"github.com/briskest/briskest/brski/pledge"
)

// Whatever a Location says: it leads to an https origin that reads back the same, or nowhere.
func FuzzLocation(f *testing.F) {
	for _, seed := range []string{
		"", "/", "https://b:8443/.well-known/brski/requestvoucher", "//b", "https://[fe80::1%25eth0]:1", "https://[fe80::1%25E%41]",
		"https://a:b@c", "https://B", "https://b:", "https://b:99999", "https://b?x", "http://b", "https://%41", "https://b/..", "urn:b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, location string) {
		base, address, err := pledge.ResolveLocation("https://a:8443", location)
		if err != nil {
			return
		}
		u, err := url.Parse(base)
		if err != nil || u.Scheme != "https" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
			t.Fatalf("Location %q leads to %q (%v), which is no https origin", location, base, err)
		}
		if _, _, err := net.SplitHostPort(address); err != nil {
			t.Fatalf("Location %q leads to the address %q: %v", location, address, err)
		}
		again, same, err := pledge.ResolveLocation("https://a:8443", base)
		if err != nil || again != base || same != address {
			t.Errorf("%q reads back as %q at %q (%v), want it at %q", base, again, same, err, address)
		}
	})
}

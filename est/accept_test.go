package est_test

import (
	"strings"
	"testing"

	"github.com/briskest/briskest/est"
)

// R28: an answer that the client will not take is refused before anything is issued. Absent, wild and odd ones are taken:
// the first is of the JDK's HttpURLConnection, which Bouncy Castle's users have; curl sends */*.
func TestAcceptIsLookedAtBeforeAnythingIsIssued(t *testing.T) {
	s := newSite(t)
	issued := 0
	for accept, want := range map[string]int{
		"text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2": 200,
		"*/*":                    200,
		"":                       200,
		",":                      200,
		"application/*":          200,
		"application/pkcs7-mime": 200,
		"APPLICATION/PKCS7-MIME; smime-type=\"certs-only\"": 200,
		"text/html, application/pkcs7-mime;q=0.1":           200,
		"application/pkcs7-mime;q=x":                        200,
		"*/*;q=0, application/pkcs7-mime":                   200,
		"text/html":                                         406,
		"application/pkcs10":                                406,
		"application/pkcs7-mime;q=0, */*":                   406,
		"application/pkcs7-mime; Q = 0.0":                   406,
		"*/*;q=0":                                           406,
		"multipart/mixed":                                   406,
	} {
		got := s.raw(t, post(enrollPath, pkcs10+"BASIC\r\nAccept: "+accept+"\r\n", b64(goodCSR(t, "device"))))
		if want == 200 {
			issued++
		}
		if got.status != want || want == 406 && !strings.Contains(got.body, est.ReasonNotAcceptable) {
			t.Errorf("Accept %q: %d %q, want %d", accept, got.status, got.body, want)
		}
		if n := len(s.Issued()); n != issued {
			t.Fatalf("Accept %q: %d certificates issued, want %d", accept, n, issued)
		}
	}
	// What issues nothing answers as it always does: clients ask for cacerts with all sorts of Accept.
	if got := s.raw(t, strings.Replace(get("/.well-known/est/cacerts"), "Host:", "Accept: text/html\r\nHost:", 1)); got.status != 200 {
		t.Errorf("cacerts with another Accept: %d", got.status)
	}
}

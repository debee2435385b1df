package pledge_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/briskest/briskest/brski/brskitest"
	"github.com/briskest/briskest/brski/pledge"
)

// redirect makes a registrar answer voucher-requests with a redirect.
func redirect(w *brskitest.World, status int, where string) {
	answerVoucher(w, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Location", where)
		rw.WriteHeader(status)
	})
}

const requestVoucher = "/.well-known/brski/requestvoucher"

// RFC 8995, Section 5.6.
func TestRegistrarMayNameOneOther(t *testing.T) {
	for _, path := range []string{"", "/", "/.well-known/brski", requestVoucher} {
		w := brskitest.New(t)
		second := w.AnotherDomain(t, "Second")
		redirect(w, http.StatusTemporaryRedirect, second.URL+path)
		d := newDevice(t, w)
		d.world = second
		d.checkWhole(d.onboard())
		if s := d.status(); s.Registrar != second.URL {
			t.Errorf("redirect to %q: Status().Registrar = %q, want %q", path, s.Registrar, second.URL)
		}
		r, _ := openRequest(t, second.Registrar.Requests()[0])
		if string(r.ProximityRegistrarCert) != string(second.Identity.Certificate.Raw) {
			t.Errorf("the request to the second registrar names another certificate than its own")
		}
	}
}

// BRSKI-8995-5.6-09: a second redirect to another origin is not followed.
func TestSecondRedirectOfARegistrarIsRefused(t *testing.T) {
	w := brskitest.New(t)
	second, third := w.AnotherDomain(t, "Second"), w.AnotherDomain(t, "Third")
	asked := 0
	answerVoucher(second, func(rw http.ResponseWriter, _ *http.Request) {
		asked++
		rw.Header().Set("Location", third.URL+requestVoucher)
		rw.WriteHeader(http.StatusTemporaryRedirect)
	})
	redirect(w, http.StatusTemporaryRedirect, second.URL+requestVoucher)
	d := newDevice(t, w)
	e := d.onboardFails(pledge.ReasonRedirect, pledge.ErrUntrusted)
	if asked != 1 || len(third.Registrar.Requests()) != 0 || !strings.Contains(e.Message, "more than 1") {
		t.Errorf("the second registrar was asked %d times, the third %d times (%v); want 1 and none", asked, len(third.Registrar.Requests()), e)
	}
	d.checkNothingTrusted()
}

// RFC 8995, Section 5.6; RFC 9110, Section 15.4.8.
func TestRedirectsThatMakeNoSenseAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		where  func(w, other *brskitest.World) string
	}{
		"301":         {http.StatusMovedPermanently, func(_, other *brskitest.World) string { return other.URL }},
		"302":         {http.StatusFound, func(_, other *brskitest.World) string { return other.URL }},
		"303":         {http.StatusSeeOther, func(_, other *brskitest.World) string { return other.URL }},
		"308":         {http.StatusPermanentRedirect, func(_, other *brskitest.World) string { return other.URL }},
		"300":         {http.StatusMultipleChoices, func(_, other *brskitest.World) string { return other.URL }},
		"no location": {http.StatusTemporaryRedirect, func(_, _ *brskitest.World) string { return "" }},
		"http":        {http.StatusTemporaryRedirect, func(_, other *brskitest.World) string { return strings.Replace(other.URL, "https", "http", 1) }},
		"credentials": {http.StatusTemporaryRedirect, func(_, other *brskitest.World) string {
			return strings.Replace(other.URL, "https://", "https://a:b@", 1)
		}},
		"other path": {http.StatusTemporaryRedirect, func(_, other *brskitest.World) string { return other.URL + "/somewhere" }},
		"query":      {http.StatusTemporaryRedirect, func(_, other *brskitest.World) string { return other.URL + requestVoucher + "?a=b" }},
		"itself":     {http.StatusTemporaryRedirect, func(w, _ *brskitest.World) string { return w.URL + requestVoucher }},
		"relative":   {http.StatusTemporaryRedirect, func(_, _ *brskitest.World) string { return "requestvoucher" }},
		"garbage":    {http.StatusTemporaryRedirect, func(_, _ *brskitest.World) string { return "https://[::1" }},
		"control":    {http.StatusTemporaryRedirect, func(_, _ *brskitest.World) string { return "https://a\tb" }},
	} {
		t.Run(name, func(t *testing.T) {
			w := brskitest.New(t)
			other := w.AnotherDomain(t, "Second")
			redirect(w, c.status, c.where(w, other))
			d := newDevice(t, w)
			e := d.onboardFails(pledge.ReasonRedirect, pledge.ErrUntrusted)
			if n := len(other.Registrar.Requests()); n != 0 {
				t.Errorf("the redirect was followed")
			}
			if c.status != http.StatusTemporaryRedirect && !strings.Contains(e.Message, strconv.Itoa(c.status)) {
				t.Errorf("the error %q does not name the status", e.Message)
			}
			d.checkNothingTrusted()
		})
	}
}

// A request that waits at the second registrar is found again after a restart.
func TestRequestBehindARedirectIsResumed(t *testing.T) {
	w := brskitest.New(t)
	second := w.AnotherDomain(t, "Second")
	redirect(w, http.StatusTemporaryRedirect, second.URL)
	second.Registrar.StayPending(1)
	d := newDevice(t, w, func(c *pledge.Config) { c.NoWait = true })
	d.onboardFails(pledge.ReasonPending, pledge.ErrPending)
	d.world = second
	d.checkWhole(d.onboard())
	if r := second.Registrar.Requests(); len(r) != 2 || string(r[0]) != string(r[1]) {
		t.Errorf("%d voucher-requests came, want the same twice", len(r))
	}
}

package masa_test

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/masa"
)

// What came of a request is recalled for a moment only, under the same
// settings, and for the same registrar: with anything else it is checked anew.
func TestARequestIsCheckedAnewWhenAnythingButItsOperationIsOther(t *testing.T) {
	for name, c := range map[string]struct {
		change func(w *world, r *brski.MASARequest)
		reason string
	}{
		"nothing": {func(*world, *brski.MASARequest) {}, ""},
		"anchors of registrars": {func(w *world, _ *brski.MASARequest) {
			w.settings.RegistrarAnchors = w.theirs.root.Pool()
			if err := w.service.Reload(w.settings); err != nil {
				w.t.Error(err)
			}
		}, masa.ReasonRegistrarAnchor},
		"the time": {func(w *world, r *brski.MASARequest) {
			w.at = w.mine.registrar.Certificate.NotAfter.Add(time.Minute)
			r.At = w.at
		}, masa.ReasonRegistrarChain},
		"the connection": {func(w *world, r *brski.MASARequest) { r.Registrar = w.theirs.registrar.Certificate }, masa.ReasonOtherClient},
		"a byte": {func(_ *world, r *brski.MASARequest) {
			r.Raw = append([]byte(nil), r.Raw...)
			r.Raw[len(r.Raw)-1] ^= 1
		}, masa.ReasonRequestSigned},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(s *masa.Settings, _ *masa.Product) { s.ClientCertificate = masa.ClientCertificateAlways })
			r := w.request(w.ask(w.mine, "0123456789abcdef").bytes(t))
			r.Registrar = w.mine.registrar.Certificate
			if _, err := w.service.RequestVoucher(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			c.change(w, r)
			log, err := w.service.RequestAuditLog(t.Context(), r)
			if c.reason != "" {
				wantRefusal(t, log != nil, err, 403, c.reason)
			} else if err != nil || len(log.Events) != 1 {
				t.Errorf("the audit-log is %v, %v; want one event", log, err)
			}
		})
	}
}

// A registrar's chain that was verified says nothing about another one's.
func TestAChainThatWasVerifiedCountsForItsOwnCertificatesOnly(t *testing.T) {
	w := newWorld(t, nil)
	w.voucher(w.ask(w.mine, "0123456789abcdef").bytes(t))
	a := w.ask(w.mine, "fedcba9876543210")
	a.chain = []*x509.Certificate{w.theirs.root.Certificate} // not its own
	w.refused(a.bytes(t), 403, masa.ReasonRegistrarChain)
}

package brskiregistrar_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"github.com/briskest/briskest/conformance/conformancetest/faulty"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/conformance/brskiregistrar"
	"github.com/briskest/briskest/conformance/conformancetest"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
)

const ownersRegistrar, ownersEST = "https://registrar.owner.example:8443", "https://est.owner.example"

// redirects and vouches are what a cloud registrar does for its devices.
func redirects(h *house) { h.redirects = true }

func vouches(h *house) {
	h.vouches = true
	signer := *h.signer
	signer.Chain = append(slices.Clone(signer.Chain), testpki.NewRoot(h.t, "owner's EST server").Certificate)
	h.signer = &signer
	h.request = func(r *voucher.Request, _ *brski.VoucherRequest) { r.ESTDomain = ownersEST }
}

// startCloud starts the reference cloud registrar: brski's handler without EST.
func startCloud(t testing.TB, faults ...fault) *brskiregistrar.Target {
	t.Helper()
	target := start(t, slices.Concat([]fault{func(h *house) {
		b := &brski.RegistrarHandler{Backend: cloudBackend{backend{h}}, Formats: formats()}
		h.handler = b
	}}, faults)...)
	return target
}

type cloudBackend struct{ backend }

// RequestVoucher implements [brski.RegistrarBackend].
func (h cloudBackend) RequestVoucher(ctx context.Context, q *brski.VoucherRequest) (*brski.Voucher, error) {
	if !h.ours(q.Peer.Certificates[0]) {
		return nil, denied(404, "nobody's")
	}
	if h.redirects {
		return nil, &brski.Redirect{URL: ownersRegistrar}
	}
	return h.backend.RequestVoucher(ctx, q)
}

func breaksCloud(check, what string, kind, f fault, also ...string) mutation {
	return mutation{Check: check, Breaks: what, Also: also, Start: func(t testing.TB) *brskiregistrar.Target { return startCloud(t, kind, f) }}
}

func TestEveryCheckOfACloudRegistrarHasBeenSeenToFail(t *testing.T) {
	conformancetest.Mutations(t, brskiregistrar.CloudChecks(), cloudMutations())
}

func cloudMutations() []mutation {
	sends := func(m match) fault {
		return rewrites(voucherRequest().and(m), func(a *httptest.ResponseRecorder) {
			a.Code = http.StatusTemporaryRedirect
			a.Header().Set("Location", ownersRegistrar)
		})
	}
	redirected := faulty.On(307, func(a *httptest.ResponseRecorder) { a.Code = http.StatusFound })
	return []mutation{
		breaksCloud("BRSKICLOUD-2.2-REG-1", "serves csrattrs", redirects, replies(at("GET", "csrattrs"), 204, "")),
		breaksCloud("BRSKICLOUD-3.1.2-REG-1", "asks for no certificate", redirects, func(h *house) { h.tls.ClientAuth = tls.NoClientCert }, "BRSKICLOUD-3.2-REG-1"),
		breaksCloud("BRSKICLOUD-3.1.2-REG-2", "sends everybody somewhere", redirects, sends(client(nobody))),
		breaksCloud("BRSKICLOUD-3.1.2-REG-3", "looks at the issuer's name", redirects, sends(client(func(h *house, c *x509.Certificate) bool {
			return c != nil && c.Issuer.String() == h.vendor.Certificate.Subject.String() && !h.ours(c)
		}))),
		breaksCloud("BRSKICLOUD-3.2-REG-1", "answers 302", redirects, rewrites(voucherRequest(), redirected)),
		breaksCloud("BRSKICLOUD-3.2-REG-2", "answers 403", redirects, rewrites(voucherRequest().and(client(stranger)), faulty.On(404, faulty.Code(403)))),
		breaksCloud("BRSKICLOUD-3.2-REG-3", "answers 500", redirects, rewrites(voucherRequest(), faulty.On(400, faulty.Code(500)))),
		breaksCloud("BRSKICLOUD-3.2.2-REG-1", "says a path", redirects, rewrites(voucherRequest(), faulty.On(307, faulty.Header("Location", "/.well-known/brski/requestvoucher")))),
		breaksCloud("BRSKICLOUD-3.2.3-REG-1", "does not say where", vouches, func(h *house) { h.request = nil }),
		breaksCloud("BRSKICLOUD-9.4-REG-1", "leaves out what the pledge sent", vouches, func(h *house) {
			before := h.request
			h.request = func(r *voucher.Request, q *brski.VoucherRequest) {
				before(r, q)
				r.PriorSignedVoucherRequest = nil
			}
		}),
		breaksCloud("BRSKICLOUD-9.4-REG-2", "passes on any nonce", vouches, ignoring("nonce")),
	}
}

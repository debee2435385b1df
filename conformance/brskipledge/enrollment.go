package brskipledge

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"net/http"
	"slices"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/unkind"
	"github.com/briskest/briskest/est"
)

// enrollment: EST after the voucher, and what the pledge says of it.
func enrollment() []check {
	return slices.Concat(
		in("RFC 8995, Section 5.9",
			scene("RFC8995-5.9-P-1", must, "The CSR attributes are asked for before a certificate is",
				rows("BRSKI-8995-5.9-01"), script{}, attributesFirst),
			scene("RFC8995-5.9-P-2", must, "A certificate is asked for by a PKCS#10 request in base64, signed with the key that it is for, which is not the IDevID's",
				rows("EST-7030-4.2.1-01", "EST-7030-4.2.1-02"), script{}, sendsCSR),
			scene("RFC8995-5.9-P-3", should, "Where the registrar says \"not yet\" to a request for a certificate, it is sent again",
				rows("EST-7030-4.2.3-10"), script{answer: onEST(est.OpSimpleEnroll, firstly(unkind.Later(1)))}, repeatsCSR),
		),
		in("RFC 7030, Section 4.1.3",
			scene("RFC7030-4.1.3-P-1", must, "The certificates of a root that is being replaced are coped with, and a certificate of the new root is taken",
				rows("EST-7030-4.1.3-08"), script{late: rollover}, joins),
		),
		in("RFC 7030, Section 4.5.2",
			scene("RFC7030-4.5.2-P-1", must, "CSR attributes and object identifiers that nobody knows are skipped",
				rows("EST-7030-4.5.2-06"), script{answer: onEST(est.OpCSRAttrs, func(*asked) *unkind.Answer {
					return unkind.Encoded("application/csrattrs", unknownAttributes())
				})}, joins),
			scene("RFC7030-4.5.2-P-2", must, "A registrar without CSR attributes, which answers 404, has no wishes",
				rows("EST-7030-4.5.2-03"), script{answer: onEST(est.OpCSRAttrs, func(*asked) *unkind.Answer { return unkind.Text(http.StatusNotFound, "None.") })}, joins),
		),
		reportsOfEnrollment(),
	)
}

func reportsOfEnrollment() []check {
	return in("RFC 8995, Section 5.9.4",
		scene("RFC8995-5.9.4-P-1", must, "That the enrollment succeeded is posted to /.well-known/brski/enrollstatus as application/json",
			rows("BRSKI-8995-5.9.4-01"), script{}, postsSuccess),
		scene("RFC8995-5.9.4-P-2", must, "The report is an object with a version, which is 1, and a status, which is true; the names are in lower case",
			rows("BRSKI-8995-5.9.4-01"), script{}, readable(brski.OpEnrollStatus, true)),
		scene("RFC8995-5.9.4-P-3", should, "Success is reported on a new connection, where the new certificate is shown",
			rows("BRSKI-8995-5.9.4-02"), script{}, showsLDevID),
		refusal("RFC8995-5.9.4-P-4", must, "A certificate for another key is not taken, and that is reported on the same connection with a reason",
			rows("BRSKI-8995-5.9.4-03", "EST-7030-4.2.3-04"), script{answer: onEST(est.OpSimpleEnroll, forAnotherKey)}, failsHere),
		refusal("RFC8995-5.9.4-P-5", must, "That the registrar refuses a certificate is reported on the same connection with a reason",
			rows("BRSKI-8995-5.9.4-03"), script{answer: onEST(est.OpSimpleEnroll, func(*asked) *unkind.Answer { return unkind.Text(http.StatusForbidden, "No.") })}, failsHere),
		refusal("RFC8995-5.9.4-P-6", should, "A certificate of a CA that is not the domain's is not taken, and that is reported",
			rows("BRSKI-8995-5.9.4-03"), script{late: ofAnotherCA}, failsHere),
		scene("RFC8995-5.9.4-P-7", must, "A registrar that knows no enrollstatus, and answers 404, leaves the pledge enrolled",
			rows("BRSKI-8995-5.9.4-01"), script{answer: on(brski.OpEnrollStatus, func(*asked) *unkind.Answer { return unkind.Text(http.StatusNotFound, "Not here.") })}, joins),
	)
}

// unknownAttributes are the object identifier 2.999.1 and an attribute 2.999.2.
func unknownAttributes() []byte {
	return []byte{
		0x30, 0x11,
		0x06, 0x03, 0x88, 0x37, 0x01,
		0x30, 0x0a, 0x06, 0x03, 0x88, 0x37, 0x02, 0x31, 0x03, 0x04, 0x01, 0xff,
	}
}

// firstly answers the first request for the path so.
func firstly(first *unkind.Answer) answer {
	return func(a *asked) *unkind.Answer {
		n := 0
		for _, q := range a.server.Requests() {
			if q.Path == a.Path {
				n++
			}
		}
		if n > 1 {
			return nil
		}
		copied := *first
		return &copied
	}
}

// rollover replaces the domain's root: the CA certificates are of both, and the
// new one issues (RFC 4210, Section 4.4).
func rollover(_ *Target, w *world) (script, error) {
	next, err := unkind.NewRoot(w.root.Certificate.Subject.CommonName)
	if err != nil {
		return script{}, err
	}
	newWithOld, err := next.Cross(w.root)
	if err != nil {
		return script{}, err
	}
	oldWithNew, err := w.root.Cross(next)
	if err != nil {
		return script{}, err
	}
	certs := [][]byte{oldWithNew.Raw, w.root.Certificate.Raw, w.issuing.Certificate.Raw, newWithOld.Raw, next.Certificate.Raw}
	return script{answer: func(a *asked) *unkind.Answer {
		switch {
		case isEST(a.Request, est.OpCACerts):
			return unkind.Certificates(certs...)
		case isEST(a.Request, est.OpSimpleEnroll):
			return w.certify(a.Request, next)
		default:
			return nil
		}
	}}, nil
}

func ofAnotherCA(_ *Target, w *world) (script, error) {
	other, err := unkind.NewRoot(w.issuing.Certificate.Subject.CommonName)
	if err != nil {
		return script{}, err
	}
	return script{answer: onEST(est.OpSimpleEnroll, func(a *asked) *unkind.Answer { return w.certify(a.Request, other) })}, nil
}

func forAnotherKey(a *asked) *unkind.Answer {
	c, err := a.world.issuing.Present(unkind.ServerTemplate("device.example"))
	if err != nil {
		return nil
	}
	return unkind.Certificates(c.Certificate[0])
}

func attributesFirst(r *run) error {
	posts := r.enrolled(est.OpSimpleEnroll)
	if len(posts) == 0 {
		return conformance.Skip("no certificate was asked for (see RFC8995-5-P-1)%s", r.said())
	}
	for _, q := range r.enrolled(est.OpCSRAttrs) {
		if !q.At.After(posts[0].At) {
			return nil
		}
	}
	return fmt.Errorf("csrattrs was not asked for before the certificate: %s", r.path())
}

func sendsCSR(r *run) error {
	posts := r.enrolled(est.OpSimpleEnroll)
	if len(posts) == 0 {
		return conformance.Skip("no certificate was asked for (see RFC8995-5-P-1)%s", r.said())
	}
	der, err := posts[0].Decoded()
	if err != nil {
		return fmt.Errorf("the request for a certificate is no base64: %w", err)
	}
	csr, err := x509.ParseCertificateRequest(der)
	switch {
	case err != nil:
		return fmt.Errorf("the request for a certificate: %w", err)
	case csr.CheckSignature() != nil:
		return fmt.Errorf("the CSR's signature: %w", csr.CheckSignature())
	case bytes.Equal(csr.RawSubjectPublicKeyInfo, r.world.idevid.RawSubjectPublicKeyInfo):
		return fmt.Errorf("the CSR is for the key of the IDevID")
	default:
		return nil
	}
}

func repeatsCSR(r *run) error {
	posts := r.enrolled(est.OpSimpleEnroll)
	if len(posts) < 2 {
		return fmt.Errorf("simpleenroll was asked for %d times: %s%s", len(posts), r.path(), r.said())
	}
	return joins(r)
}

func postsSuccess(r *run) error {
	if len(r.enrolled(est.OpSimpleEnroll)) == 0 {
		return conformance.Skip("no certificate was asked for (see RFC8995-5-P-1)%s", r.said())
	}
	found := r.asked(brski.OpEnrollStatus)
	if len(found) == 0 {
		return fmt.Errorf("no enrollstatus came: %s", r.path())
	}
	return posted(found[0])
}

func showsLDevID(r *run) error {
	found, posts := r.asked(brski.OpEnrollStatus), r.enrolled(est.OpSimpleEnroll)
	if len(found) == 0 || len(posts) == 0 {
		return conformance.Skip("no enrollstatus came (see RFC8995-5.9.4-P-1)%s", r.said())
	}
	csr, err := posts[0].Decoded()
	if err != nil {
		return conformance.Skip("the CSR does not read (see RFC8995-5.9-P-2): %v", err)
	}
	parsed, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return conformance.Skip("the CSR does not read (see RFC8995-5.9-P-2): %v", err)
	}
	told := found[len(found)-1]
	shown := told.Certificate()
	switch {
	case told.Conn == posts[0].Conn:
		return fmt.Errorf("enrollstatus came on the connection of the enrollment")
	case shown == nil:
		return fmt.Errorf("enrollstatus came without a certificate in the TLS handshake")
	case !bytes.Equal(told.TLS.PeerCertificates[0].RawSubjectPublicKeyInfo, parsed.RawSubjectPublicKeyInfo):
		return fmt.Errorf("enrollstatus came with another certificate than the one that was issued")
	default:
		return nil
	}
}

// failsHere wants the failure to be told on the connection of the request, with a reason.
func failsHere(r *run) error {
	posts, found := r.enrolled(est.OpSimpleEnroll), r.asked(brski.OpEnrollStatus)
	switch {
	case len(posts) == 0:
		return conformance.Skip("no certificate was asked for (see RFC8995-5-P-1)%s", r.said())
	case r.outcome.Known && r.outcome.Took:
		return fmt.Errorf("the pledge reports success after %s", r.path())
	case len(found) == 0:
		return fmt.Errorf("no enrollstatus came: %s", r.path())
	case found[0].Conn != posts[len(posts)-1].Conn:
		return fmt.Errorf("enrollstatus came on connection %d, the request for a certificate on %d", found[0].Conn, posts[len(posts)-1].Conn)
	}
	return readable(brski.OpEnrollStatus, false)(r)
}

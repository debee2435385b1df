package pledge

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/voucher"
)

// Of a 202 from an EST server (RFC 7030, Section 4.2.3).
const (
	defaultEnrollWait = 10 * time.Second
	maxEnrollWait     = time.Hour
)

// enroll gets from a verified voucher to a stored LDevID. Everything goes over
// the connection that the voucher came on, or over one to a server that follows
// from the same pin.
func (r *run) enroll(ctx context.Context) error {
	if r.link == nil {
		if err := r.reach(ctx, &r.c.IDevID, r.trustPin(ctx)); err != nil {
			return err
		}
		r.st.Registrar, r.st.Via = r.base, r.via
		r.step(StepConnected, "", "the registrar's certificate follows from what the stored voucher pins")
	}
	r.reportVoucher(ctx)
	err := r.certify(ctx)
	var e *Error
	if errors.As(err, &e) && e.class != ErrPending && e.class != ErrUnavailable {
		// Of the device's own failures too, and on the connection that the attempt was made on (RFC 8995, Section 5.9.4).
		r.tell(ctx, r.link, brski.OpEnrollStatus, e.Reason)
		r.step(StepFailed, "", e.Message)
	}
	return err
}

func (r *run) certify(ctx context.Context) error {
	if r.st.Stage == Imprinted {
		if err := r.learnCACerts(ctx); err != nil {
			return err
		}
	}
	attrs, err := r.fetchCSRAttrs(ctx)
	if err != nil {
		return err
	}
	plan := r.plan(attrs)
	switch {
	case r.st.Stage == Imprinted:
		err = r.makeKey(plan.Key)
	case r.c.Now().Sub(r.st.EnrollAt) >= r.c.MaxWait: // a new attempt, with the same key
		r.st.EnrollAt = r.c.Now()
		err = r.save()
	}
	if err != nil {
		return err
	}
	csr, err := r.csr(attrs, plan)
	if err != nil {
		return err
	}
	cert, err := r.ask(ctx, r.est().SimpleEnroll, csr, r.st.EnrollAt)
	if err != nil {
		return err
	}
	if e := r.checkIssued(cert, r.key, r.cas); e != nil {
		return e
	}
	if err := r.store(FileLDevID, encodeCertificates(append([]*x509.Certificate{cert}, r.intermediates(cert, r.cas)...))); err != nil {
		return err
	}
	r.cert, r.st.Stage, r.st.Certificate = cert, Enrolled, hexHash(cert.Raw)
	if err := r.save(); err != nil {
		return err
	}
	r.step(StepEnrolled, FileLDevID, fmt.Sprintf(
		"a certificate for our key as %q until %s that the domain's CA certificates vouch for",
		cert.Subject.String(), cert.NotAfter.UTC().Format(time.RFC3339)))
	return nil
}

func (r *run) est() *est.Client {
	return &est.Client{URL: r.base + est.PathPrefix, HTTP: r.link.client, UserAgent: "briskest-pledge"}
}

// learnCACerts stores the domain's CA certificates (RFC 8995, Section 5.9.1) of
// a device that has none yet, if they go with the pin. They become part of the state with the next save.
func (r *run) learnCACerts(ctx context.Context) error {
	certs, err := r.fetchCACerts(ctx)
	if err != nil {
		return err
	}
	if e := r.followFromPin(certs); e != nil {
		return e
	}
	data := encodeCertificates(certs)
	if err := r.store(FileCACerts, data); err != nil {
		return err
	}
	r.cas, r.st.CACerts = certs, hexHash(data)
	r.caCertsStep(certs)
	return nil
}

// fetchCACerts gets the domain's CA certificates. What vouches for them is the
// authenticated connection.
func (r *run) fetchCACerts(ctx context.Context) ([]*x509.Certificate, error) {
	within, cancel := context.WithTimeout(ctx, r.c.Timeout)
	defer cancel()
	certs, err := r.est().CACerts(within)
	if err != nil {
		return nil, r.estError(ctx, "getting the CA certificates", ReasonCACerts, err)
	}
	for _, c := range certs {
		if !c.IsCA || !c.BasicConstraintsValid {
			return nil, untrusted(ReasonCACerts, "RFC 7030, Section 4.1.3",
				fmt.Sprintf("among the domain's CA certificates is one of %q, which is no CA", printable([]byte(c.Subject.String()), 100)), nil)
		}
	}
	if len(certs) == 0 {
		return nil, untrusted(ReasonCACerts, "RFC 7030, Section 4.1.3", "the registrar has no CA certificates", nil)
	}
	return certs, nil
}

func (r *run) caCertsStep(certs []*x509.Certificate) {
	r.step(StepCACerts, FileCACerts, fmt.Sprintf("the domain's %d CA certificates came over the authenticated connection", len(certs)))
}

// fetchCSRAttrs gets the CSR attributes (RFC 8995, Section 5.9.2) and goes on
// without where a server has none: 204 and 404 are the client's to know, and
// some answer 405 or 501.
func (r *run) fetchCSRAttrs(ctx context.Context) ([]byte, error) {
	within, cancel := context.WithTimeout(ctx, r.c.Timeout)
	defer cancel()
	attrs, err := r.est().CSRAttrs(within)
	var status *est.StatusError
	switch {
	case err == nil && len(attrs) > 0:
		r.step(StepCSRAttrs, "", fmt.Sprintf("the registrar says in %d bytes what the request should hold", len(attrs)))
		return attrs, nil
	case err == nil, errors.As(err, &status) && (status.Status == http.StatusMethodNotAllowed || status.Status == http.StatusNotImplemented):
		r.step(StepCSRAttrs, "", "the registrar asks for nothing particular in the request")
		return nil, nil
	default:
		return nil, r.estError(ctx, "getting the CSR attributes", ReasonEnrollRefused, err)
	}
}

// makeKey makes the LDevID key and enters stage Enrolling, before any CSR is out.
func (r *run) makeKey(kind *est.KeyPlan) error {
	key, err := r.newKey(FileKey, kind)
	if err != nil {
		return err
	}
	r.key, r.st.Key = key, keyHash(key)
	r.st.Stage, r.st.EnrollAt = Enrolling, r.c.Now()
	if err := r.save(); err != nil {
		return err
	}
	proven := "a new key, not the IDevID's, is stored before anybody is asked to certify it"
	if r.c.Key != nil {
		proven = "the LDevID key is in its place and is not the IDevID's"
	}
	r.step(StepKey, FileKey, proven)
	return nil
}

// plan reads the CSR attributes. Those that cannot be read or followed are
// reported and left: the registrar says itself what it will not take.
func (r *run) plan(attrs []byte) *est.CSRPlan {
	if r.c.CSR != nil {
		return new(est.CSRPlan)
	}
	plan, err := est.ParseCSRPlan(attrs)
	if err != nil {
		r.step(StepCSRAttrs, "", "what it says cannot be followed: "+printable([]byte(err.Error()), 200))
		return new(est.CSRPlan)
	}
	return plan
}

func (r *run) csr(attrs []byte, plan *est.CSRPlan) ([]byte, error) {
	der, err := r.plannedCSR(attrs, plan)
	if err != nil {
		return nil, &Error{Reason: ReasonSigning, Message: "the certificate request could not be made", Err: err}
	}
	return der, nil
}

func (r *run) plannedCSR(attrs []byte, plan *est.CSRPlan) ([]byte, error) {
	if r.c.CSR != nil {
		template, err := r.c.CSR(r.idevid, attrs)
		if err != nil {
			return nil, err
		}
		return x509.CreateCertificateRequest(rand.Reader, template, r.key)
	}
	own, err := defaultCSR(r.idevid, plan)
	if err != nil {
		return nil, err
	}
	der, err := est.CreateCSR(r.key, &est.CSRRequest{Own: own, Plan: plan})
	if !errors.Is(err, est.ErrCSRPlan) {
		return der, err
	}
	r.step(StepCSRAttrs, "", printable([]byte(err.Error()), 200))
	return r.plannedCSR(attrs, new(est.CSRPlan))
}

// defaultCSR names the device by its serial number, as its IDevID does; the
// rest is the registrar's to decide. Where that wants a common name, it is the
// serial number too.
func defaultCSR(idevid *x509.Certificate, plan *est.CSRPlan) (*x509.CertificateRequest, error) {
	serial, err := voucher.SerialNumber(idevid)
	if err != nil {
		return nil, err
	}
	own := &x509.CertificateRequest{Subject: pkix.Name{SerialNumber: serial}}
	if plan.Subject != nil {
		own.Subject.CommonName = serial
	}
	return own, nil
}

// ask enrolls, waiting as long as the registrar has not decided.
func (r *run) ask(ctx context.Context, operation func(context.Context, []byte) (*x509.Certificate, error), csr []byte, since time.Time) (*x509.Certificate, error) {
	for {
		within, cancel := context.WithTimeout(ctx, r.c.Timeout)
		cert, err := operation(within, csr)
		cancel()
		var pending *est.PendingError
		switch {
		case err == nil:
			return cert, nil
		case errors.As(err, &pending):
			d := pending.RetryAfter
			if d <= 0 {
				d = defaultEnrollWait
			}
			if err := r.pending(ctx, min(d, maxEnrollWait), since); err != nil {
				return nil, err
			}
		default:
			return nil, r.estError(ctx, "enrolling", ReasonIssuedMalformed, err)
		}
	}
}

// estError sorts an EST client's error; invalid is the reason where a 200 was none.
func (r *run) estError(ctx context.Context, doing, invalid string, err error) error {
	var status *est.StatusError
	switch {
	case errors.As(err, &status) && status.Status >= 500, errors.As(err, &status) && status.Status == http.StatusTooManyRequests:
		return &Error{
			Reason: ReasonRegistrarFailed, class: ErrUnavailable, Status: status.Status, RetryAfter: status.RetryAfter,
			Message: fmt.Sprintf("%s: the registrar answered %d: %s", doing, status.Status, said([]byte(status.Message))),
		}
	case errors.As(err, &status):
		return &Error{
			Reason: ReasonEnrollRefused, class: ErrRefused, Status: status.Status, Section: "RFC 7030, Section 4.2.3",
			Message: fmt.Sprintf("%s: the registrar answered %d: %s", doing, status.Status, said([]byte(status.Message))),
		}
	case errors.Is(err, est.ErrAnswer):
		return untrusted(invalid, "RFC 7030, Section 4", doing+": the registrar's answer is not valid", err)
	default:
		return r.unreachable(ctx, doing, err)
	}
}

func (r *run) result() *Result {
	result := &Result{Certificate: r.cert, CACerts: r.cas, Reported: r.st.EnrollReported}
	if r.pin != nil {
		result.Pinned, result.PinnedKeySHA256 = r.pin.cert, r.pin.hash[:]
	}
	return result
}

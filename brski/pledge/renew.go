package pledge

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"time"

	"github.com/briskest/briskest/est"
)

// Renew replaces the LDevID (RFC 7030, Section 4.2.2): with a new key, unless
// Config.Key is set, and the same subject and alternative names. The
// connection is authenticated by the LDevID on one side, by the domain's CA
// certificates or the pin on the other. The old certificate and key stay in
// place until the new ones are stored; a renewal that was interrupted goes on
// with the same new key.
func (p *Pledge) Renew(ctx context.Context) (*Result, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, err := p.load()
	if err != nil {
		return nil, err
	}
	defer r.close()
	if r.st.Stage != Enrolled {
		return nil, notEnrolled()
	}
	if err := r.reach(ctx, r.ldevid(), r.trustDomain); err != nil {
		return nil, err
	}
	r.step(StepConnected, "", "the registrar's certificate follows from the domain's CA certificates")
	if err := r.renew(ctx); err != nil {
		return nil, err
	}
	r.reportEnrollment(ctx)
	return r.result(), nil
}

func (r *run) renew(ctx context.Context) error {
	cas, err := r.fetchCACerts(ctx)
	if err != nil {
		return err
	}
	if e := r.followFromOurs(cas); e != nil {
		return e
	}
	if err := r.nextKey(); err != nil {
		return err
	}
	csr, err := r.renewalCSR()
	if err != nil {
		return err
	}
	cert, err := r.ask(ctx, r.est().SimpleReenroll, csr, r.st.Next.Since)
	if err != nil {
		return err
	}
	if e := r.checkIssued(cert, r.key, cas); e != nil {
		return e
	}
	if err := r.storeNext(cert, cas); err != nil {
		return err
	}
	if err := r.promote(); err != nil {
		return err
	}
	r.cas = cas
	r.caCertsStep(cas)
	r.cert = cert
	r.step(StepRenewed, FileLDevID, fmt.Sprintf(
		"a new certificate with the same names until %s", cert.NotAfter.UTC().Format(time.RFC3339)))
	return nil
}

// storeNext stores the new certificate, and with it the CA certificates: they
// replace those that the device has together or not at all. With it the renewal
// is decided.
func (r *run) storeNext(cert *x509.Certificate, cas []*x509.Certificate) error {
	if err := r.store(fileNext, encodeCertificates(append([]*x509.Certificate{cert}, r.intermediates(cert, cas)...))); err != nil {
		return err
	}
	r.st.Next.Certificate = hexHash(cert.Raw)
	data := encodeCertificates(cas)
	if hash := hexHash(data); hash != r.st.CACerts {
		if err := r.store(fileNextCACerts, data); err != nil {
			return err
		}
		r.st.Next.CACerts = hash
	}
	return r.save()
}

// nextKey sets r.key to the key that the new certificate is for.
func (r *run) nextKey() error {
	if next := r.st.Next; next != nil && r.c.Now().Sub(next.Since) < r.c.MaxWait {
		if key, err := r.loadKey(fileNextKey, next.Key); err == nil {
			r.key = key
			return nil
		}
	}
	kind, err := est.KeyPlanOf(r.cert.PublicKey)
	if err != nil {
		kind = nil
	}
	key, err := r.newKey(fileNextKey, kind)
	if err != nil {
		return err
	}
	r.key, r.st.Next = key, &renewal{Key: keyHash(key), Since: r.c.Now()}
	return r.save()
}

// renewalCSR repeats subject and alternative names byte for byte.
func (r *run) renewalCSR() ([]byte, error) {
	template := &x509.CertificateRequest{RawSubject: r.cert.RawSubject}
	san := asn1.ObjectIdentifier{2, 5, 29, 17}
	for _, extension := range r.cert.Extensions {
		if extension.Id.Equal(san) {
			template.ExtraExtensions = []pkix.Extension{extension}
		}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, r.key)
	if err != nil {
		return nil, &Error{Reason: ReasonSigning, Message: "the certificate request could not be made", Err: err}
	}
	return der, nil
}

// promote moves a finished renewal into place. It may be interrupted anywhere
// and called again: the next files go last.
func (r *run) promote() error {
	certs, err := r.c.State.Load(fileNext)
	if err != nil {
		return storageError("reading "+fileNext, err)
	}
	if r.c.Key == nil {
		key, err := r.c.State.Load(fileNextKey)
		if err != nil {
			return storageError("reading "+fileNextKey, err)
		}
		if err := r.store(FileKey, key); err != nil {
			return err
		}
	}
	if err := r.store(FileLDevID, certs); err != nil {
		return err
	}
	if r.st.Next.CACerts != "" {
		cas, err := r.file(fileNextCACerts, r.st.Next.CACerts)
		if err != nil {
			return storageError("reading "+fileNextCACerts, err)
		}
		if err := r.store(FileCACerts, cas); err != nil {
			return err
		}
		r.st.CACerts = r.st.Next.CACerts
	}
	r.st.Key, r.st.Certificate, r.st.Next, r.st.EnrollReported = r.st.Next.Key, r.st.Next.Certificate, nil, false
	if err := r.save(); err != nil {
		return err
	}
	for _, name := range []string{fileNext, fileNextKey, fileNextCACerts} {
		if err := r.c.State.Remove(name); err != nil {
			return storageError("removing "+name, err)
		}
	}
	return nil
}

package brskimasa_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/voucher"
)

// asked is a request, and what the house made of it.
type asked struct {
	h              *house
	format, answer voucher.Format
	request, prior *voucher.Request
	artifact       *voucher.Artifact
	client         *x509.Certificate   // of the TLS connection
	chain          []*x509.Certificate // of the registrar, leaf first
	idevid         *x509.Certificate
	device         *device // nil for none
	pinned         *x509.Certificate
	owned          bool
	assertion      voucher.Assertion
}

func formatOf(mediaType string) voucher.Format {
	for _, f := range formats() {
		if f.MediaType() == mediaType {
			return f
		}
	}
	return nil
}

// open opens a request, with or without its signature holding.
func (h *house) open(f voucher.Format, raw []byte, unsigned bool) (*voucher.Request, *voucher.Artifact, error) {
	r, a, err := f.OpenRequest(raw)
	if err == nil || !unsigned || !errors.Is(err, voucher.ErrSigned) {
		return r, a, err
	}
	sd, bad := cms.ParseSignedData(raw)
	if bad != nil {
		return nil, nil, err
	}
	if r, _, bad = voucher.ParseRequest(sd.Content, voucher.Tolerant); bad != nil {
		return nil, nil, bad
	}
	signer, bad := sd.SignerCertificate(sd.Signers[0])
	return r, &voucher.Artifact{Raw: raw, MediaType: f.MediaType(), Payload: sd.Content, Signer: signer, Certificates: sd.Certificates}, bad
}

func (h *house) understand(r *brski.MASARequest) (*asked, error) {
	q := &asked{h: h, client: r.Registrar, format: formatOf(r.MediaType), answer: formatOf(r.Accept[0])}
	if q.answer == nil || slices.Contains(r.Accept, r.MediaType) {
		q.answer = q.format
	}
	var err error
	if q.request, q.artifact, err = h.open(q.format, r.Raw, h.ignores == "signature"); err != nil {
		if errors.Is(err, voucher.ErrSigned) {
			return nil, denied(403, "the signature does not hold")
		}
		return nil, denied(400, "no voucher-request")
	}
	if err := voucher.CheckRequest(q.request); err != nil {
		return nil, denied(400, "not a request to answer")
	}
	if err := q.checkRegistrar(); err != nil {
		return nil, err
	}
	if err := q.openPrior(); err != nil {
		return nil, err
	}
	q.findDevice()
	return q, nil
}

// checkRegistrar finds the chain and what is on top of it.
func (q *asked) checkRegistrar() error {
	roots, bag, at := x509.NewCertPool(), x509.NewCertPool(), time.Now()
	for _, c := range q.artifact.Certificates {
		if bytes.Equal(c.RawIssuer, c.RawSubject) {
			roots.AddCert(c)
		} else {
			bag.AddCert(c)
		}
	}
	if q.h.ignores == "end" {
		at = q.artifact.Signer.NotAfter
	}
	chains, err := q.artifact.Signer.Verify(x509.VerifyOptions{Roots: roots, Intermediates: bag, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	switch {
	case err == nil:
		q.chain = chains[0]
	case q.h.ignores == "chain" && time.Now().Before(q.artifact.Signer.NotAfter):
		q.chain = q.artifact.Certificates
	default:
		return denied(403, "the certificates are no chain")
	}
	q.pinned = q.chain[len(q.chain)-1]
	role := slices.ContainsFunc(q.artifact.Signer.UnknownExtKeyUsage, asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 28}.Equal)
	if !role && q.h.ignores != "role" && !(q.h.ignores == "role of devices" && q.artifact.Signer.Subject.SerialNumber != "") {
		return denied(403, "not a registrar")
	}
	if q.h.ignores != "revocation" && q.revoked() {
		return denied(403, "revoked")
	}
	return nil
}

// revoked fetches the list that the registrar's certificate names.
func (q *asked) revoked() bool {
	for _, url := range q.artifact.Signer.CRLDistributionPoints {
		a, err := http.Get(url) //nolint:gosec,noctx // of the test's own
		if err != nil {
			return true
		}
		defer a.Body.Close()
		der, err := io.ReadAll(io.LimitReader(a.Body, 1<<20))
		if err != nil {
			return true
		}
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			return true
		}
		for _, e := range list.RevokedCertificateEntries {
			if e.SerialNumber.Cmp(q.artifact.Signer.SerialNumber) == 0 {
				return true
			}
		}
	}
	return false
}

// openPrior looks at the pledge's request.
func (q *asked) openPrior() error {
	if len(q.request.PriorSignedVoucherRequest) == 0 {
		return nil
	}
	prior, a, err := q.h.open(q.format, q.request.PriorSignedVoucherRequest, q.h.ignores == "prior signature")
	if err != nil {
		if q.h.ignores == "prior form" {
			return nil
		}
		return denied(403, "the pledge's request does not open")
	}
	q.prior, q.idevid = prior, a.Signer
	known := slices.ContainsFunc(q.h.devices, func(d *device) bool { return d.idevid.Equal(a.Signer) })
	selfSigned := bytes.Equal(a.Signer.RawIssuer, a.Signer.RawSubject)
	serial, err := voucher.SerialNumber(a.Signer)
	switch {
	case !known && !(q.h.ignores == "anchor" && !selfSigned) && !(q.h.ignores == "self-signed" && selfSigned):
		return denied(403, "not a device of ours")
	case err != nil || serial != q.request.SerialNumber && q.h.ignores != "serial":
		return denied(403, "another serial number")
	case serial != prior.SerialNumber && q.h.ignores != "prior serial":
		return denied(403, "another serial number in the pledge's")
	case q.request.Nonce != prior.Nonce && q.h.ignores != "nonce" && !(q.h.ignores == "missing nonce" && q.request.Nonce == ""):
		return denied(403, "another nonce")
	case !q.sameIssuer(a.Signer) && q.h.ignores != "issuer":
		return denied(403, "another issuer")
	}
	return nil
}

func (q *asked) sameIssuer(idevid *x509.Certificate) bool {
	if len(q.request.IDevIDIssuer) == 0 {
		return true
	}
	id, ok := voucher.IssuerKeyID(q.request.IDevIDIssuer)
	return ok && bytes.Equal(id, idevid.AuthorityKeyId)
}

func (q *asked) findDevice() {
	for _, d := range q.h.devices {
		if q.idevid != nil && d.idevid.Equal(q.idevid) {
			q.device = d
			return
		}
	}
	for _, d := range q.h.devices {
		serial, err := voucher.SerialNumber(d.idevid)
		if err == nil && serial == q.request.SerialNumber && (q.sameIssuer(d.idevid) || q.h.ignores == "issuer") {
			q.device = d
			return
		}
	}
	if q.idevid != nil { // a fault let it in
		q.device = q.h.devices[0]
	}
}

// decide says whether there is a voucher, and what it asserts.
func (h *house) decide(q *asked) error {
	if q.device == nil {
		return denied(404, "no such device")
	}
	proximity, err := q.proximity()
	if err != nil {
		return err
	}
	q.owned = q.device.owner != nil && q.device.owner.Equal(q.pinned)
	switch {
	case q.device.blocked && h.ignores != "blocked":
		return denied(403, "blocked")
	case q.device.owner != nil && !q.owned && h.ignores != "owner":
		return denied(403, "another owner")
	case q.request.Nonce == "" && !(q.device.nonceless && q.owned) && h.ignores != "nonceless" && !(h.ignores == "missing nonce" && q.prior != nil && q.prior.Nonce != ""):
		return denied(403, "no voucher without a nonce")
	case q.prior == nil && h.ignores != "no prior" && h.ignores != "prior form":
		return denied(403, "no request of the pledge")
	}
	q.assertion = voucher.Logged
	if proximity {
		q.assertion = voucher.Proximity
	}
	if q.owned || h.ignores == "assertion" && q.request.Assertion == voucher.Verified {
		q.assertion = voucher.Verified
	}
	if h.pin != nil {
		q.pinned = h.pin(q)
	}
	return nil
}

// proximity compares whom the pledge saw with who asks (rfc8366bis, Section 9).
func (q *asked) proximity() (bool, error) {
	if q.prior == nil {
		return q.h.ignores == "no prior", nil
	}
	key := keyOf(q.artifact.Signer)
	var seen []byte
	switch p := q.prior; {
	case len(p.ProximityRegistrarPubkSHA256) > 0 && !(q.h.ignores == "order" && len(p.ProximityRegistrarCert) > 0):
		seen = p.ProximityRegistrarPubkSHA256
	case len(p.ProximityRegistrarPubk) > 0:
		sum := sha256.Sum256(p.ProximityRegistrarPubk)
		seen = sum[:]
	case len(p.ProximityRegistrarCert) > 0:
		c, err := x509.ParseCertificate(p.ProximityRegistrarCert)
		if err != nil {
			return false, denied(400, "no certificate")
		}
		sum := keyOf(c)
		seen = sum[:]
		if q.h.ignores == "key" && !c.Equal(q.artifact.Signer) { // compares certificates
			seen = nil
		}
	case q.h.ignores == "named nobody":
		return true, nil
	}
	if !bytes.Equal(seen, key[:]) && q.h.ignores != "proximity" {
		return false, denied(403, "the pledge saw another registrar")
	}
	return true, nil
}

// content is what is signed.
func (q *asked) content() *voucher.Voucher {
	v := &voucher.Voucher{
		Assertion: q.assertion, CreatedOn: time.Now().UTC().Truncate(time.Second), SerialNumber: q.request.SerialNumber,
		Nonce: q.request.Nonce, PinnedDomainCert: q.pinned.Raw,
	}
	if v.Nonce == "" {
		v.ExpiresOn = v.CreatedOn.Add(time.Hour)
	}
	if q.device.serialIsShared && q.idevid != nil || q.h.ignores == "uniqueness" && q.idevid != nil {
		v.IDevIDIssuer, _ = voucher.IDevIDIssuer(q.idevid)
	}
	return v
}

func (q *asked) record(raw []byte) *record {
	return &record{q.device, q.pinned, q.request.Nonce, q.assertion, time.Now().UTC().Truncate(time.Second), raw, q.answer.MediaType(), q.artifact.Raw}
}

func (i *record) event() brski.AuditEvent {
	e := brski.AuditEvent{Date: i.at, DomainID: base64.StdEncoding.EncodeToString(voucher.DomainID(i.domain)), Assertion: i.assertion}
	if i.nonce != "" {
		e.Nonce = &i.nonce
	}
	return e
}

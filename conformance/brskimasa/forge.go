package brskimasa

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"fmt"
	"github.com/briskest/briskest/conformance/forge"
	"math/big"
	"time"

	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/voucher"
)

const (
	requestContainer = "ietf-voucher-request:voucher"
	voucherContainer = "ietf-voucher:voucher"
)

// sign makes the pledge's voucher-request (RFC 8995, Section 5.2) and the
// registrar's around it (Section 5.5).
func (x *exchange) sign(ctx context.Context) error {
	serial, err := voucher.SerialNumber(leafOf(x.pledge))
	if err != nil {
		return fmt.Errorf("the pledge's IDevID: %w", err)
	}
	issuer, err := voucher.IDevIDIssuer(leafOf(x.pledge))
	if err != nil {
		return fmt.Errorf("the pledge's IDevID: %w", err)
	}
	at := time.Now().UTC().Truncate(time.Second)
	x.own = &voucher.Request{
		Assertion: voucher.Proximity, CreatedOn: at, SerialNumber: serial, Nonce: x.nonce,
		ProximityRegistrarCert: x.registrar.Certificate[0],
	}
	if x.pledgeSays != nil {
		x.pledgeSays(x.own)
	}
	pledge := x.pledge
	if x.pledgeSigner != nil {
		pledge = x.pledgeSigner
	}
	prior, err := signed(ctx, x.formatOf(), x.own, x.pledgeLeaves, forge.Signer(pledge))
	if err != nil {
		return fmt.Errorf("the pledge's request: %w", err)
	}
	if x.prior != nil {
		prior = x.prior(prior)
	}
	x.request = &voucher.Request{
		Assertion: voucher.Proximity, CreatedOn: at, SerialNumber: serial, IDevIDIssuer: issuer, Nonce: x.nonce,
		PriorSignedVoucherRequest: prior,
	}
	if x.content != nil {
		x.content(x.request)
	}
	signer := forge.Signer(x.registrar)
	if x.signer != nil {
		signer.Key, _ = x.signer.PrivateKey.(crypto.Signer)
	}
	if x.sent, err = signed(ctx, x.formatOf(), x.request, x.leaves, signer); err != nil {
		return fmt.Errorf("the registrar's request: %w", err)
	}
	if x.body != nil {
		x.sent = x.body(x.sent)
	}
	return nil
}

// mismatched lets a key sign for a certificate that has another.
type mismatched struct {
	crypto.Signer
	public crypto.PublicKey
}

// Public implements [crypto.Signer].
func (m mismatched) Public() crypto.PublicKey { return m.public }

// signed signs a voucher-request, in CMS also what no library makes.
func signed(ctx context.Context, f voucher.Format, r *voucher.Request, change func(map[string]any), s *voucher.Signer) ([]byte, error) {
	s.Key = mismatched{s.Key, s.Certificate.PublicKey}
	if change == nil {
		return f.SignRequest(ctx, r, s)
	}
	text, err := voucher.MarshalRequest(r)
	if err != nil {
		return nil, err
	}
	var outer map[string]map[string]any
	if err := json.Unmarshal(text, &outer); err != nil {
		return nil, err
	}
	change(outer[requestContainer])
	if text, err = json.Marshal(outer); err != nil {
		return nil, err
	}
	return signPayload(text, s)
}

// signPayload signs any content in CMS.
func signPayload(payload []byte, s *voucher.Signer) ([]byte, error) {
	return cms.Sign(&cms.SignRequest{
		ContentType: cms.OIDAnimaJSONVoucher(), Content: payload, Key: s.Key, Certificate: s.Certificate, Chain: s.Chain,
	})
}

// oidCMCRA is id-kp-cmcRA (RFC 6402, Section 2.10).
var oidCMCRA = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 28}

func newKey() (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	return key, nil
}

// newDomain makes a domain that nobody knows: a root and a registrar below it.
func newDomain(name string, root func(*x509.Certificate)) (*domain, error) {
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "conformance: " + name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	if root != nil {
		root(template)
	}
	ca, err := issue(template, nil, nil)
	if err != nil {
		return nil, err
	}
	d := &domain{ca: ca}
	d.registrar, err = d.newRegistrar(nil, nil)
	return d, err
}

// newRegistrar makes a registrar of the domain, with a new key where none is given.
func (d *domain) newRegistrar(change func(*x509.Certificate), key crypto.Signer) (*tls.Certificate, error) {
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "conformance: registrar of " + leafOf(d.ca).Subject.CommonName}, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(12 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, UnknownExtKeyUsage: []asn1.ObjectIdentifier{oidCMCRA},
	}
	if change != nil {
		change(template)
	}
	return issue(template, d.ca, key)
}

// impostor is a device like the pledge, of a CA that is only named as the pledge's.
func (t *Target) impostor() (*tls.Certificate, error) {
	ca, err := issue(&x509.Certificate{
		RawSubject: leafOf(t.Pledge).RawIssuer, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		SubjectKeyId: leafOf(t.Pledge).AuthorityKeyId, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}, nil, nil)
	if err != nil {
		return nil, err
	}
	return issue(t.device(), ca, nil)
}

// selfSigned is a device like the pledge that signs its own certificate.
func (t *Target) selfSigned() (*tls.Certificate, error) { return issue(t.device(), nil, nil) }

// device is a template like the pledge's IDevID.
func (t *Target) device() *x509.Certificate {
	own := leafOf(t.Pledge)
	return &x509.Certificate{
		RawSubject: own.RawSubject, AuthorityKeyId: own.AuthorityKeyId, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	}
}

// issue makes a certificate, under its own signature without an issuer, and with
// a new key where none is given. The chain of the issuer goes along.
func issue(template *x509.Certificate, issuer *tls.Certificate, key crypto.Signer) (*tls.Certificate, error) {
	var err error
	if key == nil {
		if key, err = newKey(); err != nil {
			return nil, err
		}
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return nil, err
	}
	parent, by := template, crypto.PrivateKey(key)
	if issuer != nil {
		parent, by = leafOf(issuer), issuer.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	c := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	if issuer != nil {
		c.Certificate = append(c.Certificate, issuer.Certificate...)
	}
	c.Leaf, err = x509.ParseCertificate(der)
	return c, err
}

package brskiregistrar

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"fmt"
	"github.com/briskest/briskest/conformance/forge"
	"math/big"
	"time"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/voucher"
)

// forgeRequest signs a voucher-request that no library makes, in CMS.
func forgeRequest(r *voucher.Request, signer *tls.Certificate) ([]byte, error) {
	leaves := map[string]any{"serial-number": r.SerialNumber, "created-on": r.CreatedOn.Format(time.RFC3339)}
	if r.Assertion != "" {
		leaves["assertion"] = r.Assertion
	}
	if r.Nonce != "" {
		leaves["nonce"] = r.Nonce
	}
	if len(r.ProximityRegistrarCert) > 0 {
		leaves["proximity-registrar-cert"] = r.ProximityRegistrarCert
	}
	payload, err := json.Marshal(map[string]any{"ietf-voucher-request:voucher": leaves})
	if err != nil {
		return nil, err
	}
	return signPayload(payload, signer)
}

// signPayload signs any content as a voucher-request.
func signPayload(payload []byte, signer *tls.Certificate) ([]byte, error) {
	s := forge.Signer(signer)
	return cms.Sign(&cms.SignRequest{
		ContentType: cms.OIDAnimaJSONVoucher(), Content: payload, Key: s.Key, Certificate: s.Certificate, Chain: s.Chain,
	})
}

// signES256 signs as JWS wants it (RFC 7518, Section 3.4).
func signES256(key crypto.Signer, input []byte) ([]byte, error) {
	public, ok := key.Public().(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return nil, skipf("this takes a pledge whose key is on P-256")
	}
	sum := sha256.Sum256(input)
	der, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	var signature struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &signature); err != nil {
		return nil, err
	}
	return append(signature.R.FillBytes(make([]byte, 32)), signature.S.FillBytes(make([]byte, 32))...), nil
}

// oidMASAURL is id-pe-masa-url (RFC 8995, Section 2.3.2).
var oidMASAURL = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 32}

// oidCMCRA is id-kp-cmcRA (RFC 6402, Section 2.10).
var oidCMCRA = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 28}

var oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

func newKey() (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	return key, nil
}

// device is a template like the pledge's IDevID.
func (t *Target) device() *x509.Certificate {
	own := leafOf(t.Pledge)
	c := &x509.Certificate{
		RawSubject: own.RawSubject, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	for _, e := range own.Extensions {
		if e.Id.Equal(oidMASAURL) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: e.Id, Value: e.Value})
		}
	}
	return c
}

// named gives a template another subject.
func named(c *x509.Certificate, name pkix.Name) *x509.Certificate {
	c.RawSubject, c.Subject = nil, name
	return c
}

// leadingTo gives a template another MASA URL; empty for none.
func leadingTo(c *x509.Certificate, url string) *x509.Certificate {
	c.ExtraExtensions = nil
	if url != "" {
		value, err := asn1.MarshalWithParams(url, "ia5")
		if err == nil {
			c.ExtraExtensions = []pkix.Extension{{Id: oidMASAURL, Value: value}}
		}
	}
	return c
}

// made issues a device under the manufacturer's CA, or skips where there is none.
func (t *Target) made(c *x509.Certificate) (*tls.Certificate, error) {
	if t.Manufacturer == nil {
		return nil, conformance.Skip("this takes other devices of the manufacturer; give the CA's certificate and key with --idevid-ca and --idevid-ca-key")
	}
	return issue(c, leafOf(t.Manufacturer), t.Manufacturer.PrivateKey)
}

// impostor issues a device under a CA that is named as the pledge's.
func (t *Target) impostor() (*tls.Certificate, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	ca := &x509.Certificate{
		RawSubject: leafOf(t.Pledge).RawIssuer, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), SerialNumber: big.NewInt(1),
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	if err != nil {
		return nil, err
	}
	if ca, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	return issue(t.device(), ca, key)
}

// stranger signs itself, named as the pledge is.
func (t *Target) stranger() (*tls.Certificate, error) { return issue(t.device(), nil, nil) }

// issue makes a certificate with a new key, under its own signature without an issuer.
func issue(c, issuer *x509.Certificate, issuerKey crypto.PrivateKey) (*tls.Certificate, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	if issuer == nil {
		issuer, issuerKey = c, key
	}
	if c.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, c, issuer, key.Public(), issuerKey)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

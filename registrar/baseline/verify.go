package baseline

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/jws"
	"github.com/briskest/briskest/internal/strictjson"
)

// Errors of Verify, to be told apart with errors.Is.
var (
	// ErrSigner: not signed by a registrar of the domain.
	ErrSigner = errors.New("baseline: not signed by a registrar of this domain")
	// ErrText: what is signed is no baseline.
	ErrText = errors.New("baseline: what is signed is no baseline")
	// ErrOtherDevice: it is for another device.
	ErrOtherDevice = errors.New("baseline: it is for another device")
	// ErrOlder: it is older than what the device has.
	ErrOlder = errors.New("baseline: it is older than the one that the device has")
)

// maxSigned bounds what is read, in bytes: a text in base64 with a chain.
const maxSigned = 2*MaxText + 64<<10

// Expect is what a device knows when it verifies a baseline.
type Expect struct {
	Anchors *x509.CertPool // the domain's CAs
	// SerialNumbers are those by which the device may be known; the text has to be for one of them.
	SerialNumbers []string
	// Version and SHA256 are those of the text that the device has; 0 for none. A
	// lower version, and another text of the same, are refused.
	Version int64
	SHA256  [32]byte
	Now     time.Time
}

// Verified is a baseline that may be taken.
type Verified struct {
	Text   *Text
	Raw    []byte // of the text as signed
	SHA256 [32]byte
	Signer *x509.Certificate
}

// Verify checks a signed baseline: that a registrar of the domain signed it (a
// certificate with id-kp-cmcRA, RFC 6402, Section 2.10, that chains to the anchors: other
// devices have certificates of the same CA), that it is for this device, and
// that it is not older than what the device has.
func Verify(f Format, signed []byte, e *Expect) (*Verified, error) {
	if len(signed) > maxSigned {
		return nil, fmt.Errorf("%w: it has %d bytes", ErrText, len(signed))
	}
	var payload []byte
	var signer *x509.Certificate
	var chain []*x509.Certificate
	var err error
	switch f {
	case JWS:
		payload, signer, chain, err = openJWS(signed)
	case CMS:
		payload, signer, chain, err = openCMS(signed)
	default:
		return nil, fmt.Errorf("%w: the format %q is not known", ErrText, f)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSigner, err)
	}
	if err := e.trust(signer, chain); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSigner, err)
	}
	text, err := parseText(payload)
	if err != nil {
		return nil, err
	}
	out := &Verified{Text: text, Raw: payload, SHA256: sha256.Sum256(payload), Signer: signer}
	switch {
	case !slices.Contains(e.SerialNumbers, text.Device.SerialNumber):
		return nil, fmt.Errorf("%w: it is for %q, and this one is %s", ErrOtherDevice, text.Device.SerialNumber, strings.Join(e.SerialNumbers, " or "))
	case text.Version < e.Version:
		return nil, fmt.Errorf("%w: version %d, and the device has %d", ErrOlder, text.Version, e.Version)
	case text.Version == e.Version && out.SHA256 != e.SHA256:
		return nil, fmt.Errorf("%w: version %d is another text than the device has", ErrOlder, text.Version)
	}
	return out, nil
}

func openJWS(signed []byte) ([]byte, *x509.Certificate, []*x509.Certificate, error) {
	m, err := jws.Parse(signed, jws.Limits{Bytes: maxSigned, Signatures: 1, Certificates: 8})
	if err != nil {
		return nil, nil, nil, err
	}
	s := m.Signatures[0]
	switch {
	case s.Type != jwsType:
		return nil, nil, nil, fmt.Errorf("typ is %q, want %q", s.Type, jwsType)
	case len(s.Certificates) == 0:
		return nil, nil, nil, errors.New("there is no certificate in x5c")
	}
	if err := s.Verify(s.Certificates[0].PublicKey); err != nil {
		return nil, nil, nil, err
	}
	return m.Payload, s.Certificates[0], s.Certificates[1:], nil
}

func openCMS(signed []byte) ([]byte, *x509.Certificate, []*x509.Certificate, error) {
	sd, err := cms.ParseSignedData(signed)
	if err != nil {
		return nil, nil, nil, err
	}
	if len(sd.Signers) != 1 {
		return nil, nil, nil, fmt.Errorf("there are %d signers, want one", len(sd.Signers))
	}
	signer, err := sd.SignerCertificate(sd.Signers[0])
	if err == nil {
		err = sd.Verify(sd.Signers[0], signer)
	}
	if err != nil {
		return nil, nil, nil, err
	}
	return sd.Content, signer, sd.Certificates[:min(len(sd.Certificates), 8)], nil
}

// trust checks that the signer is a registration authority of the domain.
func (e *Expect) trust(signer *x509.Certificate, chain []*x509.Certificate) error {
	if e.Anchors == nil { // crypto/x509 would ask the system's
		return errors.New("there are no trust anchors")
	}
	between := x509.NewCertPool()
	for _, c := range chain {
		between.AddCert(c)
	}
	_, err := signer.Verify(x509.VerifyOptions{
		Roots: e.Anchors, Intermediates: between, CurrentTime: e.Now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return err
	}
	cmcRA := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 28}
	if !slices.ContainsFunc(signer.UnknownExtKeyUsage, cmcRA.Equal) {
		return fmt.Errorf("the certificate of %s is not a registration authority's (id-kp-cmcRA)", signer.Subject)
	}
	return nil
}

// parseText reads what was signed. Members that are not known are of a later version of
// the same type, and ignored.
func parseText(payload []byte) (*Text, error) {
	if err := strictjson.Value(payload, strictjson.Limits{Bytes: MaxText, Depth: maxDepth + 2, Members: 2 * maxMembers}, 1); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrText, err)
	}
	var t Text
	if err := json.Unmarshal(payload, &t); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrText, err)
	}
	switch {
	case t.Type != Type:
		return nil, fmt.Errorf("%w: type is %q", ErrText, t.Type)
	case t.Version < 1:
		return nil, fmt.Errorf("%w: version is %d", ErrText, t.Version)
	case t.Device.SerialNumber == "":
		return nil, fmt.Errorf("%w: it names no device", ErrText)
	}
	return &t, nil
}

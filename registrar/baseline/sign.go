package baseline

import (
	"crypto/x509"
	"fmt"
	"time"

	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/jws"
	"github.com/briskest/briskest/voucher"
)

// Format is how a text is signed.
type Format string

// The formats, by their media types.
const (
	JWS Format = "application/jose+json" // RFC 7515, Section 9.2.1
	CMS Format = "application/cms"       // RFC 7193, Section 3
)

// jwsType is the header typ (RFC 7515, Section 4.1.9).
const jwsType = "briskest-baseline+jws"

// Sign signs a text by the registrar's key: as JWS in the general JSON
// serialization with x5c (RFC 7515, Section 7.2.1), or as CMS with the certificates
// in it (RFC 5652, Section 5).
func Sign(f Format, text []byte, s *voucher.Signer, at time.Time) ([]byte, error) {
	switch f {
	case JWS:
		chain := append([]*x509.Certificate{s.Certificate}, s.Chain...)
		return jws.Sign(&jws.SignRequest{Payload: text, Key: s.Key, Certificates: chain, Type: jwsType})
	case CMS:
		return cms.Sign(&cms.SignRequest{Content: text, Key: s.Key, Certificate: s.Certificate, Chain: s.Chain, SigningTime: at})
	default:
		return nil, fmt.Errorf("baseline: no format %q", f)
	}
}

//go:build pkcs11

package cryptoki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"

	"github.com/miekg/pkcs11"

	"github.com/briskest/briskest/internal/token"
)

// curves are the named curves, with the DER of their numbers (RFC 5480, Section
// 2.1.1.1).
var curves = []struct {
	name  string
	curve elliptic.Curve
	oid   []byte
}{
	{"p256", elliptic.P256(), []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7}},
	{"p384", elliptic.P384(), []byte{6, 5, 0x2b, 0x81, 4, 0, 0x22}},
	{"p521", elliptic.P521(), []byte{6, 5, 0x2b, 0x81, 4, 0, 0x23}},
}

var (
	edwardsName = append([]byte{0x13, 12}, "edwards25519"...)
	edwardsOID  = []byte{6, 3, 0x2b, 0x65, 0x70}
)

// Public reads the public half: of RSA from the private key itself, otherwise
// from the public key of the same identifier.
func (s *session) Public(h token.Handle) (crypto.PublicKey, error) {
	private := pkcs11.ObjectHandle(h)
	kind, err := s.attribute(private, pkcs11.CKA_KEY_TYPE)
	if err != nil {
		return nil, err
	}
	switch n := number(kind); n {
	case pkcs11.CKK_RSA:
		return s.rsa(private)
	case pkcs11.CKK_EC, ckkECEdwards:
		params, err := s.attribute(private, pkcs11.CKA_EC_PARAMS)
		if err != nil {
			return nil, err
		}
		point, err := s.point(private)
		if err != nil {
			return nil, err
		}
		return onCurve(params, point)
	default:
		return nil, fmt.Errorf("%w: keys of type %#x", token.ErrAlgorithm, n)
	}
}

// number reads a CK_ULONG, which has the machine's order and size.
func number(b []byte) uint64 {
	switch len(b) {
	case 4:
		return uint64(binary.NativeEndian.Uint32(b))
	case 8:
		return binary.NativeEndian.Uint64(b)
	default:
		return 1<<64 - 1
	}
}

// maxAttribute bounds an attribute, in bytes.
const maxAttribute = 4096

func (s *session) attribute(o pkcs11.ObjectHandle, kind uint) ([]byte, error) {
	got, err := s.ctx.GetAttributeValue(s.handle, o, []*pkcs11.Attribute{pkcs11.NewAttribute(kind, nil)})
	if err != nil {
		return nil, code(err)
	}
	if len(got) != 1 || len(got[0].Value) == 0 || len(got[0].Value) > maxAttribute {
		return nil, fmt.Errorf("pkcs11: the token does not say the key's attribute %#x", kind)
	}
	return got[0].Value, nil
}

func (s *session) rsa(private pkcs11.ObjectHandle) (crypto.PublicKey, error) {
	from := private
	n, err := s.attribute(from, pkcs11.CKA_MODULUS)
	if err != nil {
		return nil, err
	}
	e, err := s.attribute(from, pkcs11.CKA_PUBLIC_EXPONENT)
	if err != nil { // optional in a private key
		if from, err = s.publicOf(private); err != nil {
			return nil, err
		}
		if e, err = s.attribute(from, pkcs11.CKA_PUBLIC_EXPONENT); err != nil {
			return nil, err
		}
	}
	exponent := new(big.Int).SetBytes(e)
	if exponent.BitLen() > 31 {
		return nil, errors.New("pkcs11: an RSA key with a public exponent of more than 31 bits")
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}, nil
}

// publicOf finds the public key that belongs to a private key.
func (s *session) publicOf(private pkcs11.ObjectHandle) (pkcs11.ObjectHandle, error) {
	var o token.Object
	if id, err := s.attribute(private, pkcs11.CKA_ID); err == nil {
		o.ID = string(id)
	} else if label, err := s.attribute(private, pkcs11.CKA_LABEL); err == nil {
		o.Label = string(label)
	}
	if o == (token.Object{}) {
		return 0, errors.New("pkcs11: the private key has neither an identifier nor a label to find its public key by")
	}
	public, err := s.one(pkcs11.CKO_PUBLIC_KEY, o)
	if errors.Is(err, token.ErrNotFound) || errors.Is(err, token.ErrAmbiguous) {
		return 0, errors.New("pkcs11: the token has not one public key of the private key's identifier (CKA_ID); import it beside the private key")
	}
	return public, err
}

func (s *session) point(private pkcs11.ObjectHandle) ([]byte, error) {
	public, err := s.publicOf(private)
	if err != nil {
		return nil, err
	}
	return s.attribute(public, pkcs11.CKA_EC_POINT)
}

// onCurve reads CKA_EC_POINT: an OCTET STRING, or with some tokens its content
// alone.
func onCurve(params, point []byte) (crypto.PublicKey, error) {
	var inner []byte
	if rest, err := asn1.Unmarshal(point, &inner); err != nil || len(rest) != 0 {
		inner = point
	}
	if bytes.Equal(params, edwardsName) || bytes.Equal(params, edwardsOID) {
		if len(inner) != ed25519.PublicKeySize {
			return nil, errors.New("pkcs11: an Ed25519 key that is not of 32 bytes")
		}
		return ed25519.PublicKey(inner), nil
	}
	for _, c := range curves {
		if bytes.Equal(params, c.oid) {
			key, err := ecdsa.ParseUncompressedPublicKey(c.curve, inner)
			if err != nil {
				return nil, fmt.Errorf("pkcs11: the key's point: %w", err)
			}
			return key, nil
		}
	}
	return nil, fmt.Errorf("%w: the curve %x", token.ErrAlgorithm, params)
}

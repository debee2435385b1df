package cose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"

	gocose "github.com/veraison/go-cose"
)

// SignRequest is what [Sign] signs, and with what.
type SignRequest struct {
	Payload     []byte
	Key         crypto.Signer
	Certificate *x509.Certificate   // of Key
	Chain       []*x509.Certificate // further certificates to put inside
	Bare        bool                // put none inside
}

// Sign returns a tagged COSE_Sign1, encoded deterministically, with the
// algorithm of the key (RFC 9053, Section 2; RFC 8230, Section 2 for RSA) in
// the protected header and the certificates, the signer's first, as x5bag in
// the unprotected one, unless Bare. Keys: P-256, P-384, P-521, Ed25519, RSA of 2048 to 8192
// bits. Errors wrap [ErrSigner] when the request cannot be signed.
func Sign(r *SignRequest) ([]byte, error) {
	if r.Key == nil || r.Certificate == nil {
		return nil, fmt.Errorf("%w: a key and its certificate are needed", ErrSigner)
	}
	public, ok := r.Certificate.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(r.Key.Public()) {
		return nil, fmt.Errorf("%w: the certificate is of another key", ErrSigner)
	}
	if n := 1 + len(r.Chain); n > MaxCertificates {
		return nil, fmt.Errorf("%w: %d certificates, the limit is %d", ErrSigner, n, MaxCertificates)
	}
	alg, err := algorithmOf(r.Key.Public())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSigner, err)
	}
	signer, err := gocose.NewSigner(alg, r.Key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSigner, err)
	}
	m := gocose.NewSign1Message()
	m.Payload = r.Payload
	m.Headers.Protected.SetAlgorithm(alg)
	if !r.Bare {
		m.Headers.Unprotected[labelX5Bag] = bag(r)
	}
	if err := m.Sign(rand.Reader, nil, signer); err != nil {
		return nil, err
	}
	return m.MarshalCBOR()
}

// bag is one byte string, or an array of several (RFC 9360, Section 2).
func bag(r *SignRequest) any {
	if len(r.Chain) == 0 {
		return r.Certificate.Raw
	}
	list := []any{r.Certificate.Raw}
	for _, c := range r.Chain {
		list = append(list, c.Raw)
	}
	return list
}

// supported tells whether signatures of alg are verified.
func supported(alg gocose.Algorithm) bool {
	switch alg {
	case gocose.AlgorithmES256, gocose.AlgorithmES384, gocose.AlgorithmES512, gocose.AlgorithmEdDSA,
		gocose.AlgorithmPS256, gocose.AlgorithmPS384, gocose.AlgorithmPS512:
		return true
	default:
		return false
	}
}

// algorithmOf returns the algorithm we sign with.
func algorithmOf(public crypto.PublicKey) (gocose.Algorithm, error) {
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return gocose.AlgorithmES256, nil
		case elliptic.P384():
			return gocose.AlgorithmES384, nil
		case elliptic.P521():
			return gocose.AlgorithmES512, nil
		}
	case ed25519.PublicKey:
		return gocose.AlgorithmEdDSA, nil
	case *rsa.PublicKey:
		return gocose.AlgorithmPS256, checkKey(gocose.AlgorithmPS256, key)
	}
	return 0, fmt.Errorf("%w: %T", ErrKey, public)
}

// checkKey binds the elliptic-curve algorithms to one curve each, which
// RFC 9053, Section 2.1 leaves open, and RSA keys to a size.
func checkKey(alg gocose.Algorithm, public crypto.PublicKey) error {
	switch key := public.(type) {
	case *rsa.PublicKey:
		isRSA := alg == gocose.AlgorithmPS256 || alg == gocose.AlgorithmPS384 || alg == gocose.AlgorithmPS512
		if bits := key.N.BitLen(); isRSA && bits >= 2048 && bits <= 8192 {
			return nil
		}
	default:
		if own, err := algorithmOf(public); err == nil && own == alg {
			return nil
		}
	}
	return fmt.Errorf("%w: %T with %s", ErrKey, public, alg)
}

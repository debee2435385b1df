package profile

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3/lint"
	_ "github.com/zmap/zlint/v3/lints/community" // registers its lints
	_ "github.com/zmap/zlint/v3/lints/rfc"       // registers its lints
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Finding is one thing that a linter says of a certificate.
type Finding struct {
	Lint    string // its name, such as "e_sub_ca_aia_missing"
	Error   bool   // whether it breaks a MUST; else it is a warning, or a notice
	Notice  bool   // whether it is less than a warning
	Details string // may be empty
	Source  string // such as "RFC5280"
}

// String is one line for people.
func (f Finding) String() string {
	text := f.Lint + " (" + f.Source + ")"
	if f.Details != "" {
		text += ": " + f.Details
	}
	return text
}

// Lint runs zlint's lints from the certificate RFCs and from its
// community over a certificate in DER, and returns what they find, errors first and
// notices last.
// The rules of public web PKI do not apply to devices and are left out.
func Lint(certificate []byte) ([]Finding, error) {
	l, err := NewLinter()
	if err != nil {
		return nil, err
	}
	return l.Lint(certificate)
}

// Linter is [Lint] for many certificates. It may be used by many at once.
type Linter struct {
	lints  []*lint.CertificateLint
	config lint.Configuration
}

// NewLinter makes a linter without some lints, by their names.
func NewLinter(without ...string) (*Linter, error) {
	registry, err := lint.GlobalRegistry().Filter(lint.FilterOptions{IncludeSources: lint.SourceList{
		lint.RFC3279, lint.RFC5280, lint.RFC5480, lint.RFC5891, lint.RFC8813, lint.Community,
		// One lint tries the keys of one public CA, which takes 5 ms each time.
	}, ExcludeNames: append(without, "e_cert_issued_by_compromised_emudhra_ca")})
	if err != nil {
		return nil, fmt.Errorf("lint: %w", err)
	}
	return &Linter{lints: registry.CertificateLints().Lints(), config: registry.GetConfiguration()}, nil
}

// Lint returns what is found in a certificate in DER, errors first and notices last.
func (r *Linter) Lint(certificate []byte) ([]Finding, error) {
	c, err := x509.ParseCertificate(certificate)
	if err != nil {
		return nil, fmt.Errorf("lint: the certificate cannot be read: %w", err)
	}
	var findings []Finding
	for _, l := range r.lints {
		result := l.Execute(c, r.config)
		if result.Status < lint.Notice {
			continue
		}
		findings = append(findings, Finding{Lint: l.Name, Error: result.Status >= lint.Error, Notice: result.Status == lint.Notice, Details: result.Details, Source: string(l.Source)})
	}
	rank := func(f Finding) int {
		switch {
		case f.Error:
			return 0
		case f.Notice:
			return 2
		default:
			return 1
		}
	}
	slices.SortStableFunc(findings, func(a, b Finding) int { return cmp.Or(rank(a)-rank(b), strings.Compare(a.Lint, b.Lint)) })
	return findings, nil
}

// lint makes certificates with generated names, one for each kind of key and
// with few and with all names, and lints them. It returns the warnings.
func (p *Profile) lint() ([]string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	keys, err := p.sampleKeys()
	if err != nil {
		return nil, err
	}
	// It judges keys, which are made up here, and takes most of the time.
	linter, err := NewLinter("e_ecdsa_small_private_key")
	if err != nil {
		return nil, err
	}
	var warnings []string
	for i, pub := range keys {
		for n := 2 * i; n < 2*i+2; n++ {
			der, err := p.sampleCertificate(n, pub, key)
			if err != nil {
				return nil, fmt.Errorf("%w: %s: a certificate with generated names: %w", ErrDocument, p.doc.Name, err)
			}
			findings, err := linter.Lint(der)
			if err != nil {
				return nil, fmt.Errorf("%w: %s: %w", ErrDocument, p.doc.Name, err)
			}
			for _, f := range findings {
				if f.Error {
					return nil, fmt.Errorf("%w: %s: its certificates would be wrong: %s", ErrDocument, p.doc.Name, f)
				}
				if text := f.String(); !f.Notice && !slices.Contains(warnings, text) {
					warnings = append(warnings, text)
				}
			}
		}
	}
	return warnings, nil
}

// sampleCertificate builds and checks one as an issuer does, and signs it with
// a key that is then forgotten.
func (p *Profile) sampleCertificate(n int, pub crypto.PublicKey, key *ecdsa.PrivateKey) ([]byte, error) {
	subject, names, err := p.Sample(n)
	if err != nil {
		return nil, err
	}
	if err := p.CheckKey(pub); err != nil {
		return nil, err
	}
	spki, err := MarshalPublicKey(pub)
	if err != nil {
		return nil, err
	}
	// A fixed day: what is found must not depend on when the program starts.
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	start, end, err := p.Period(now, time.Time{}, time.Time{}, Never())
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(spki)
	c := &Content{
		Serial: append([]byte{1}, digest[:15]...), Algorithm: ECDSAWithSHA256,
		Issuer:         []byte("\x30\x12\x31\x10\x30\x0e\x06\x03\x55\x04\x03\x13\x07Lint CA"),
		AuthorityKeyID: digest[:20], NotBefore: start, NotAfter: end, Subject: subject, Names: names, Key: pub, SPKI: spki,
	}
	tbs, err := p.TBS(c)
	if err != nil {
		return nil, err
	}
	if err := p.CheckTBS(tbs, c); err != nil {
		return nil, err
	}
	hash := sha256.Sum256(tbs)
	signature, err := ecdsa.SignASN1(rand.Reader, key, hash[:])
	if err != nil {
		return nil, err
	}
	return Assemble(tbs, c.Algorithm, signature)
}

// Assemble puts a signed thing together: the to-be-signed part, the algorithm
// and the signature (RFC 5280, Sections 4.1 and 5.1).
func Assemble(tbs []byte, algorithm SignatureAlgorithm, signature []byte) ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, len(tbs)+len(signature)+64))
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddBytes(algorithm.Identifier())
		b.AddASN1BitString(signature)
	})
	return b.Bytes()
}

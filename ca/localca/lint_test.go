package localca_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/localca"
	"github.com/briskest/briskest/ca/profile"
)

// perProfile is how many certificates of each shipped profile are linted.
const perProfile = 1000

// smallKeyLint tries many private keys. It is about nothing but the key.
const smallKeyLint = "e_ecdsa_small_private_key"

// allowedNotices are the findings below a warning that shipped profiles have, and why.
func allowedNotices() map[string]string { return nil }

// zlint finds nothing, not a notice either, in 1,000 certificates of each shipped
// profile: names, keys, lifetimes and CAs vary. BRISKEST_SEED repeats a run.
func TestZlintFindsNothingInAThousandCertificatesOfEachShippedProfile(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("BRISKEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("BRISKEST_SEED=%d", seed)
	keys := lintKeys(t)
	issuers := lintIssuers(t, keys)
	fast, err := profile.NewLinter(smallKeyLint)
	if err != nil {
		t.Fatal(err)
	}
	full, err := profile.NewLinter()
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range profile.Shipped() {
		t.Run(d.Name, func(t *testing.T) {
			t.Parallel()
			v := &varied{rand.New(rand.NewPCG(seed, uint64(i))), mustProfile(t, d), keys, issuers}
			found, seen := map[string]int{}, map[string]bool{}
			for range perProfile {
				raw, key := v.certificate(t)
				linter := fast
				if !seen[key] {
					linter, seen[key] = full, true
				}
				findings, err := linter.Lint(raw)
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range findings {
					if found[f.Lint]++; found[f.Lint] == 1 && (!f.Notice || allowedNotices()[f.Lint] == "") {
						t.Errorf("%s in %x", f, raw)
					}
				}
			}
			t.Logf("%d certificates with %d keys, findings %v", perProfile, len(seen), found)
		})
	}
}

// lintKeys are subjects' keys of every kind and size that a shipped profile takes.
func lintKeys(t *testing.T) []crypto.Signer {
	var keys []crypto.Signer
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		keys = append(keys, ecKey(t, curve))
	}
	for _, bits := range []int{2048, 3072} {
		key, err := rsa.GenerateKey(cryptorand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	_, key, err := ed25519.GenerateKey(cryptorand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return append(keys, key)
}

// lintIssuers are CAs with keys of each type, and room for a CA below them.
func lintIssuers(t *testing.T, keys []crypto.Signer) []*localca.CA {
	set := map[string]*profile.Profile{}
	for _, d := range profile.Shipped() {
		if d.Name != "root-ca" {
			d.CRL = []string{"http://pki.example.com/{authority}/{crl_partition}.crl"}
			d.OCSP, d.CAIssuers = []string{"http://ocsp.example.com/{authority}"}, []string{"http://pki.example.com/{authority}.der"}
			set[d.Name] = mustProfile(t, d)
		}
	}
	var issuers []*localca.CA
	for _, key := range []crypto.Signer{ecKey(t, elliptic.P256()), ecKey(t, elliptic.P384()), keys[4], keys[6]} {
		issuer, err := localca.New(localca.Config{Certificate: newRoot(t, key, -1), Key: key, Profiles: set, Now: start, CRLPartitions: 16})
		if err != nil {
			t.Fatal(err)
		}
		issuers = append(issuers, issuer)
	}
	return issuers
}

// varied makes certificates that differ.
type varied struct {
	*rand.Rand
	p       *profile.Profile
	keys    []crypto.Signer
	issuers []*localca.CA
}

// certificate returns one with the name of its key.
func (v *varied) certificate(t *testing.T) ([]byte, string) {
	t.Helper()
	n := v.IntN(len(v.keys))
	for v.p.CheckKey(v.keys[n].Public()) != nil {
		n = (n + 1) % len(v.keys)
	}
	subject, names := v.names(t)
	now := start().Add(time.Duration(v.IntN(1000)) * time.Hour)
	if v.p.Name() == "root-ca" {
		return v.root(t, v.keys[n], subject, now), fmt.Sprint(n)
	}
	issuer := v.issuers[v.IntN(8)%len(v.issuers)]
	if v.IntN(8) > 0 { // RSA signs slowly
		issuer = v.issuers[v.IntN(2)]
	}
	r := &ca.Request{Profile: v.p.Name(), PublicKey: v.keys[n].Public(), Subject: subject, Names: names, Record: unrecorded}
	if bytes.Equal(mustSPKI(t, r.PublicKey), issuer.Certificate().RawSubjectPublicKeyInfo) {
		issuer = v.issuers[0]
	}
	if v.IntN(2) == 0 {
		r.NotBefore = start().Add(time.Duration(v.IntN(60)-30*v.IntN(2)) * time.Minute / 30)
		r.NotAfter = r.NotBefore.Add(time.Hour + time.Duration(v.Int64N(int64(29*24*time.Hour)))).Truncate(time.Second)
		r.NotBefore = r.NotBefore.Truncate(time.Second)
	}
	made, err := issuer.Issue(t.Context(), r)
	if err != nil {
		t.Fatalf("%s, %v, %+v: %v", r.Profile, subject, names, err)
	}
	return made.Raw, fmt.Sprint(n)
}

func mustSPKI(t *testing.T, key crypto.PublicKey) []byte {
	t.Helper()
	spki, err := profile.MarshalPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return spki
}

// root makes a self-signed certificate as NewRoot does, which checks its profile anew each time.
func (v *varied) root(t *testing.T, key crypto.Signer, subject pkix.RDNSequence, now time.Time) []byte {
	t.Helper()
	algorithm, errAlgorithm := v.p.SignatureAlgorithm().For(key.Public())
	name, errName := v.p.SubjectDER(subject)
	begin, end, errPeriod := v.p.Period(now, time.Time{}, now.Add(time.Hour+time.Duration(v.IntN(7000*24))*time.Hour), profile.Never())
	spki := mustSPKI(t, key.Public())
	c := &profile.Content{
		Serial: []byte{1, byte(v.Uint32()), byte(v.Uint32()), 1}, Algorithm: algorithm, Issuer: name, AuthorityKeyID: profile.KeyID(spki),
		NotBefore: begin, NotAfter: end, Subject: subject, Key: key.Public(), SPKI: spki,
	}
	tbs, errTBS := v.p.TBS(c)
	if err := errors.Join(errAlgorithm, errName, errPeriod, errTBS, v.p.CheckTBS(tbs, c)); err != nil {
		t.Fatal(err)
	}
	message := tbs
	if h := algorithm.Hash(); h != 0 {
		digest := h.New()
		digest.Write(tbs)
		message = digest.Sum(nil)
	}
	signature, errSign := key.Sign(cryptorand.Reader, message, algorithm.Options())
	raw, err := profile.Assemble(tbs, algorithm, signature)
	if err = errors.Join(errSign, err); err != nil {
		t.Fatal(err)
	}
	return raw
}

// names are sampled ones, of which each that may be is replaced by a random one.
func (v *varied) names(t *testing.T) (pkix.RDNSequence, ca.Names) {
	t.Helper()
	subject, names, err := v.p.Sample(v.IntN(10000))
	if err != nil {
		t.Fatal(err)
	}
	subject = slices.Clone(subject)
	try := func(change, undo func()) {
		if change(); v.p.CheckNames(subject, &names) != nil {
			undo()
		}
	}
	for i, rdn := range subject {
		if v.IntN(4) > 0 {
			other := pkix.RelativeDistinguishedNameSET{{Type: rdn[0].Type, Value: v.text()}}
			try(func() { subject[i] = other }, func() { subject[i] = rdn })
		}
	}
	was := names
	try(func() { names.DNS = append(slices.Clone(was.DNS), v.host()) }, func() { names.DNS = was.DNS })
	try(func() { names.IP = append(slices.Clone(was.IP), v.address()) }, func() { names.IP = was.IP })
	return subject, names
}

// text is 1 to 64 characters that names may have.
func (v *varied) text() string {
	alphabet := []rune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.:'() \u00e4\u00df\u00e9\u4e2d\u0416")
	if v.IntN(2) == 0 {
		alphabet = alphabet[:62]
	}
	var out strings.Builder
	for range 1 + v.IntN(64) {
		out.WriteRune(alphabet[v.IntN(len(alphabet))])
	}
	return out.String()
}

func (v *varied) host() string {
	const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789-"
	var labels []string
	for range 1 + v.IntN(5) {
		label := make([]byte, 1+v.IntN(30))
		for i := range label {
			label[i] = alphabet[v.IntN(len(alphabet))]
		}
		labels = append(labels, string(label))
	}
	return strings.Join(append(labels, "example"), ".")
}

func (v *varied) address() net.IP {
	ip := make(net.IP, 4+12*v.IntN(2))
	for i := range ip {
		ip[i] = byte(v.IntN(256))
	}
	return ip
}

// The CAs that init makes, too.
func TestZlintFindsNothingInTheCAs(t *testing.T) {
	issuer := hierarchy(t)
	chain, err := issuer.Chain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range chain {
		lintsClean(t, c)
	}
}

// Names that only private networks have are none of the linter's errors.
func TestZlintTakesNamesOfPrivateNetworks(t *testing.T) {
	issuer := hierarchy(t)
	for _, dns := range []string{"localhost", "registrar", "registrar.local", "registrar.internal"} {
		cert, err := issuer.Certify(t.Context(), request(ecKey(t, elliptic.P256()).Public(), "registrar", dns, dns))
		if err != nil {
			t.Fatal(err)
		}
		lintsClean(t, cert)
	}
}

func lintsClean(t *testing.T, c *x509.Certificate) {
	t.Helper()
	findings, err := profile.Lint(c.Raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		// Names of private networks have no public suffix; that is a notice.
		if !f.Notice || f.Lint != "n_san_iana_pub_suffix_empty" {
			t.Errorf("%s: %s", c.Subject, f)
		}
	}
}

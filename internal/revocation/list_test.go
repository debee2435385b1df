package revocation_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/revocation"
	"github.com/briskest/briskest/internal/testpki"
)

// RFC 5280, Section 6.3.3.
func TestACertificateOnItsIssuersListIsRevoked(t *testing.T) {
	w := newWorld(t)
	chain := w.device(nil, nil)
	other := big.NewInt(77)
	for _, mode := range []revocation.Mode{"", revocation.RequireAll, revocation.Check} {
		k := w.checker(revocation.Config{Mode: mode, Lists: w.parsed(w.list(other, chain[0].SerialNumber), w.issuer)})
		err := k.Check(t.Context(), chain, w.time())
		var revoked *revocation.Revoked
		if !errors.As(err, &revoked) {
			t.Fatalf("mode %q: Check = %v, want *Revoked", mode, err)
		}
		if revoked.Certificate != chain[0] || revoked.Reason != 1 || revoked.Source != "vendor.crl" || !revoked.At.Equal(w.time().Add(-time.Hour)) {
			t.Errorf("mode %q: Revoked = %+v", mode, revoked)
		}
		if errors.Is(err, revocation.ErrUnavailable) || !strings.Contains(err.Error(), "keyCompromise") {
			t.Errorf("mode %q: %v", mode, err)
		}
	}
	if err := w.checker(revocation.Config{Mode: revocation.Off, Lists: w.parsed(w.list(chain[0].SerialNumber), w.issuer)}).Check(t.Context(), chain, w.time()); err != nil {
		t.Errorf("mode off: Check = %v", err)
	}
}

func TestACertificateThatIsOnNoListIsAnswered(t *testing.T) {
	w := newWorld(t)
	chain := w.device(nil, nil)
	lists := append(w.parsed(w.list(big.NewInt(7)), w.issuer), w.parsed(w.list(), w.root)...)
	k := w.checker(revocation.Config{Mode: revocation.RequireAll, Lists: lists})
	a, err := k.Status(t.Context(), chain, w.time())
	if err != nil || a.Missing != nil || !a.Until.Equal(w.time().Add(24*time.Hour)) {
		t.Errorf("Status = %+v, %v", a, err)
	}
	if !k.Still(a, w.time()) || k.Still(a, a.Until) {
		t.Error("Still does not go by the list's end")
	}
}

func TestARevokedCARefusesWhatItIssued(t *testing.T) {
	w := newWorld(t)
	chain := w.device(nil, nil)
	k := w.checker(revocation.Config{Lists: w.parsed(w.list(chain[1].SerialNumber), w.root)})
	var revoked *revocation.Revoked
	if err := k.Check(t.Context(), chain, w.time()); !errors.As(err, &revoked) || revoked.Certificate != chain[1] {
		t.Errorf("Check = %v, want the CA revoked", err)
	}
}

// What becomes of a certificate that nobody speaks of.
func TestTheModeDecidesAboutAMissingAnswer(t *testing.T) {
	w := newWorld(t)
	past := w.list()
	past.ThisUpdate, past.NextUpdate = w.time().Add(-48*time.Hour), w.time().Add(-time.Hour)
	for name, tt := range map[string]struct {
		chain   []*x509.Certificate
		lists   []*revocation.List
		require bool // whether Require refuses
	}{
		"names nowhere":      {w.device(nil, nil), nil, false},
		"names a list":       {w.device([]string{listURL}, nil), nil, true},
		"names a responder":  {w.device(nil, []string{ocspURL}), nil, true},
		"its list has ended": {w.device(nil, nil), w.parsed(past, w.issuer), true},
	} {
		for mode, refused := range map[revocation.Mode]bool{
			revocation.Require: tt.require, revocation.RequireAll: true, revocation.Check: false, revocation.Off: false,
		} {
			a, err := w.checker(revocation.Config{Mode: mode, Lists: tt.lists}).Status(t.Context(), tt.chain, w.time())
			if refused != errors.Is(err, revocation.ErrUnavailable) || !refused && err != nil {
				t.Errorf("%s, mode %s: Status = %v, want refused %v", name, mode, err, refused)
			}
			if mode == revocation.Check && errors.Is(a.Missing, revocation.ErrUnavailable) != tt.require {
				t.Errorf("%s, mode %s: Missing = %v", name, mode, a.Missing)
			}
		}
	}
	if _, err := revocation.New(revocation.Config{Mode: "maybe"}); err == nil {
		t.Error("New takes a mode that there is not")
	}
}

// RFC 9608, Section 2.
func TestACertificateThatIsNeverRevokedNeedsNoAnswer(t *testing.T) {
	w := newWorld(t)
	chain := w.device([]string{listURL}, nil, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 56}, Value: []byte{5, 0}})
	if err := w.checker(revocation.Config{}).Check(t.Context(), chain, w.time()); err != nil {
		t.Errorf("Check = %v", err)
	}
}

func TestAListThatHasEndedStillSaysWhatIsRevoked(t *testing.T) {
	w := newWorld(t)
	chain := w.device(nil, nil)
	l := w.list(chain[0].SerialNumber)
	l.ThisUpdate, l.NextUpdate = w.time().Add(-48*time.Hour), w.time().Add(-time.Hour)
	err := w.checker(revocation.Config{Lists: w.parsed(l, w.issuer)}).Check(t.Context(), chain, w.time())
	if !errors.As(err, new(*revocation.Revoked)) {
		t.Errorf("Check = %v, want *Revoked", err)
	}
}

func TestTheNewestListOfAScopeCounts(t *testing.T) {
	w := newWorld(t)
	chain := w.device(nil, nil)
	old := w.list(chain[0].SerialNumber)
	old.ThisUpdate = w.time().Add(-2 * time.Hour)
	lists := append(w.parsed(old, w.issuer), w.parsed(w.list(), w.issuer)...)
	if err := w.checker(revocation.Config{Lists: lists}).Check(t.Context(), chain, w.time()); err != nil {
		t.Errorf("Check = %v: an older list, from before the hold was lifted, counts", err)
	}
}

func TestAListOfAnotherSignerSaysNothing(t *testing.T) {
	w := newWorld(t)
	chain := w.device(nil, nil)
	stranger := testpki.NewRoot(t, "Example Devices Issuing") // the same name
	k := w.checker(revocation.Config{Lists: w.parsed(w.list(chain[0].SerialNumber), stranger)})
	if err := k.Check(t.Context(), chain, w.time()); !errors.Is(err, revocation.ErrUnavailable) {
		t.Errorf("Check with a forged list = %v, want ErrUnavailable", err)
	}
}

// RFC 5280, Section 6.3.3, step (f).
func TestAListOfACAThatMaySignNoneSaysNothing(t *testing.T) {
	w := newWorld(t)
	forList := *w.issuer.Certificate
	mute := w.root.Issue(t, &x509.Certificate{
		Subject: forList.Subject, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, w.issuer.Key)
	chain := w.device(nil, nil)
	chain[1] = mute.Certificate
	k := w.checker(revocation.Config{Lists: w.parsed(w.list(), w.issuer)})
	if err := k.Check(t.Context(), chain, w.time()); !errors.Is(err, revocation.ErrUnavailable) {
		t.Errorf("Check = %v, want ErrUnavailable", err)
	}
}

// issuingPoint is an IssuingDistributionPoint (RFC 5280, Section 5.2.5).
type issuingPoint struct {
	Point      asn1.RawValue  `asn1:"optional"`
	User       bool           `asn1:"optional,tag:1"`
	CA         bool           `asn1:"optional,tag:2"`
	Reasons    asn1.BitString `asn1:"optional,tag:3"`
	Indirect   bool           `asn1:"optional,tag:4"`
	Attributes bool           `asn1:"optional,tag:5"`
}

func pointNamed(t testing.TB, url string) asn1.RawValue {
	t.Helper()
	name, err := asn1.Marshal(asn1.RawValue{Class: 2, Tag: 6, Bytes: []byte(url)})
	if err != nil {
		t.Fatal(err)
	}
	full, err := asn1.Marshal(asn1.RawValue{Class: 2, Tag: 0, IsCompound: true, Bytes: name})
	if err != nil {
		t.Fatal(err)
	}
	return asn1.RawValue{Class: 2, Tag: 0, IsCompound: true, Bytes: full}
}

// RFC 5280, Sections 5.2 and 5.3.
func TestListsThatCannotBeUsedAreRefusedByName(t *testing.T) {
	w := newWorld(t)
	point := asn1.ObjectIdentifier{2, 5, 29, 28}
	for name, tt := range map[string]struct {
		extension pkix.Extension
		want      string
	}{
		"delta":             {critical(t, asn1.ObjectIdentifier{2, 5, 29, 27}, 1), "a delta list"},
		"indirect":          {critical(t, point, issuingPoint{Indirect: true}), "an indirect list"},
		"attributes":        {critical(t, point, issuingPoint{Attributes: true}), "a list of attribute certificates"},
		"unknown extension": {critical(t, asn1.ObjectIdentifier{1, 2, 3}, 1), "critical extension 1.2.3"},
		"malformed point":   {pkix.Extension{Id: point, Critical: true, Value: []byte{0x30, 3, 0x81, 1}}, "malformed"},
	} {
		l := w.list()
		l.ExtraExtensions = []pkix.Extension{tt.extension}
		if _, err := revocation.ParseLists("x.crl", w.sign(l, w.issuer)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: ParseLists = %v, want %q", name, err, tt.want)
		}
	}
	for oid, want := range map[string]string{"\x55\x1d\x1d": "an indirect list", "\x2a\x03\x04": "an entry has the critical extension"} {
		l := w.list(big.NewInt(9))
		var id asn1.ObjectIdentifier
		if _, err := asn1.Unmarshal(append([]byte{6, byte(len(oid))}, oid...), &id); err != nil {
			t.Fatal(err)
		}
		l.RevokedCertificateEntries[0].ExtraExtensions = []pkix.Extension{{Id: id, Critical: true, Value: []byte{0x30, 0}}}
		if _, err := revocation.ParseLists("x.crl", w.sign(l, w.issuer)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("entry with %v: ParseLists = %v, want %q", id, err, want)
		}
	}
	if _, err := revocation.ParseLists("x.crl", append(w.sign(w.list(), w.issuer), 0)); err == nil {
		t.Error("ParseLists takes a list with a byte after it")
	}
	if _, err := revocation.ParseLists("x.crl", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.root.Certificate.Raw})); err == nil {
		t.Error("ParseLists takes a certificate")
	}
}

// RFC 5280, Section 6.3.3, step (b)(2).
func TestAListCountsOnlyForWhatItIsAbout(t *testing.T) {
	w := newWorld(t)
	chain := w.device([]string{listURL}, nil)
	for name, tt := range map[string]struct {
		point issuingPoint
		known bool
	}{
		"user certificates":  {issuingPoint{User: true}, true},
		"CA certificates":    {issuingPoint{CA: true}, false},
		"this point":         {issuingPoint{Point: pointNamed(t, listURL)}, true},
		"another point":      {issuingPoint{Point: pointNamed(t, "http://crl.example.com/other.crl")}, false},
		"some reasons only":  {issuingPoint{Reasons: asn1.BitString{Bytes: []byte{0x40}, BitLength: 2}}, false},
		"no restriction":     {issuingPoint{}, true},
		"user and the point": {issuingPoint{Point: pointNamed(t, listURL), User: true}, true},
	} {
		l := w.list()
		l.ExtraExtensions = []pkix.Extension{critical(t, asn1.ObjectIdentifier{2, 5, 29, 28}, tt.point)}
		err := w.checker(revocation.Config{Lists: w.parsed(l, w.issuer)}).Check(t.Context(), chain, w.time())
		if (err == nil) != tt.known || err != nil && !errors.Is(err, revocation.ErrUnavailable) {
			t.Errorf("%s: Check = %v, want an answer %v", name, err, tt.known)
		}
	}
}

func TestListsAreReadFromPEMToo(t *testing.T) {
	w := newWorld(t)
	var text []byte
	for _, by := range []*testpki.Identity{w.issuer, w.root} {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: w.sign(w.list(), by)})...)
	}
	lists, err := revocation.ParseLists("both.pem", text)
	if err != nil || len(lists) != 2 {
		t.Fatalf("ParseLists = %d lists, %v", len(lists), err)
	}
	if err := w.checker(revocation.Config{Mode: revocation.RequireAll, Lists: lists}).Check(t.Context(), w.device(nil, nil), w.time()); err != nil {
		t.Errorf("Check = %v", err)
	}
}

func FuzzParseLists(f *testing.F) {
	w := newWorld(f)
	scoped := w.list(big.NewInt(9), big.NewInt(1<<40))
	scoped.ExtraExtensions = []pkix.Extension{critical(f, asn1.ObjectIdentifier{2, 5, 29, 28}, issuingPoint{Point: pointNamed(f, listURL), User: true})}
	f.Add(w.sign(w.list(), w.issuer))
	f.Add(w.sign(scoped, w.issuer))
	f.Add([]byte("-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		lists, err := revocation.ParseLists("fuzz", data)
		if err == nil && len(lists) == 0 {
			t.Error("neither a list nor an error")
		}
	})
}

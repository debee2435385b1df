package cmc_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/cmc"
	"github.com/briskest/briskest/internal/cms"
)

// vector returns a published or constructed message, or skips.
func vector(t *testing.T, name string) []byte {
	t.Helper()
	dir := os.Getenv("BRISKEST_VECTORS")
	if dir == "" {
		t.Skip("BRISKEST_VECTORS is not set: published artifacts not read")
	}
	data, err := os.ReadFile(filepath.Join(dir, "est", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// failure returns the *cmc.Error in err, which must be one with that failInfo.
func failure(t *testing.T, err error, info cmc.FailInfo) *cmc.Error {
	t.Helper()
	var e *cmc.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v is no *cmc.Error, want %s", err, info)
	}
	if e.FailInfo != info {
		t.Fatalf("error %v, want %s", err, info)
	}
	return e
}

func named(e *cmc.Error, paths ...cmc.BodyPartPath) bool {
	return slices.EqualFunc(e.Bodies, paths, func(a, b cmc.BodyPartPath) bool { return slices.Equal(a, b) })
}

// EST-5652-5.4-01: what OpenSSL signed over the attributes as an EXPLICIT SET OF in DER verifies. Every constructed message
// opens, or is refused, as its index says.
func TestConstructedMessagesOpenAsTheIndexSays(t *testing.T) {
	opened, refused := 0, 0
	for name, requests := range map[string]int{
		"cmc-pkidata-pkcs10": 1, "cmc-pkidata-rapopwitness": 1, "cmc-pkidata-querypending": 0, "cmc-pkidata-getcrl": 0,
		"cmc-pkidata-revokerequest": 0, "neg-cmc-pkidata-unknown-control": 1,
	} {
		content := vector(t, "constructed/"+name+".content.der")
		f, err := cmc.OpenRequest(vector(t, "constructed/"+name+".signed.der"), nil)
		if err != nil {
			t.Errorf("OpenRequest(%s) = %v", name, err)
			continue
		}
		opened++
		if len(f.Signers) != 1 || f.Signers[0].Certificate == nil || f.Signers[0].Certificate.Subject.CommonName != "throwaway RA" {
			t.Errorf("OpenRequest(%s): signers %+v, want the throwaway RA", name, f.Signers)
		}
		if len(f.Data.Requests) != requests {
			t.Errorf("OpenRequest(%s): %d requests, want %d", name, len(f.Data.Requests), requests)
		}
		if again, err := f.Data.Marshal(); err != nil || string(again) != string(content) {
			t.Errorf("Marshal of %s = %x, %v, want what was read", name, again, err)
		}
		for i := range f.Data.Requests {
			if err := f.Data.Requests[i].VerifyPOP(); err != nil {
				t.Errorf("VerifyPOP of %s: %v", name, err)
			}
		}
	}
	for _, c := range []struct {
		name string
		info cmc.FailInfo
		want error
		path cmc.BodyPartPath
	}{
		{"neg-cmc-pkidata-duplicate-bodypartid", cmc.FailBadRequest, cmc.ErrBodyPartID, cmc.BodyPartPath{1}},
		{"neg-cmc-pkidata-bodypartid-zero", cmc.FailBadRequest, cmc.ErrBodyPartID, cmc.BodyPartPath{0}},
		{"neg-cmc-pkidata-pkcs10-badsig", cmc.FailBadMessageCheck, cms.ErrSignature, cmc.BodyPartPath{0}},
	} {
		_, err := cmc.OpenRequest(vector(t, "constructed/"+c.name+".signed.der"), nil)
		if e := failure(t, err, c.info); !errors.Is(err, c.want) || !named(e, c.path) || e.Received == nil {
			t.Errorf("OpenRequest(%s) = %v, want %v about %v, with what was read", c.name, err, c.want, c.path)
		}
		refused++
	}
	for _, name := range []string{"cmc-pkiresponse-popfailed", "cmc-pkiresponse-pending"} {
		r, err := cmc.OpenResponse(vector(t, "constructed/"+name+".signed.der"), nil)
		if err != nil {
			t.Errorf("OpenResponse(%s) = %v", name, err)
			continue
		}
		opened++
		s := r.Data.Statuses()
		if len(s) != 1 || len(r.Signers) != 1 || !slices.Equal(s[0].Bodies[0], cmc.BodyPartPath{1}) {
			t.Fatalf("OpenResponse(%s): %+v", name, r)
		}
		switch {
		case strings.HasSuffix(name, "popfailed"):
			if s[0].Status != cmc.StatusFailed || s[0].FailInfo == nil || *s[0].FailInfo != cmc.FailPOPFailed || s[0].Text != "POP linking required" {
				t.Errorf("status of %s: %+v", name, s[0])
			}
		case s[0].Status != cmc.StatusPending || s[0].Pending == nil || string(s[0].Pending.Token) != "token" || s[0].Pending.Time.Year() != 2030:
			t.Errorf("status of %s: %+v", name, s[0])
		}
		if again, err := r.Data.Marshal(); err != nil || string(again) != string(vector(t, "constructed/"+name+".content.der")) {
			t.Errorf("Marshal of %s = %x, %v, want what was read", name, again, err)
		}
	}
	t.Logf("figures: %d opened, %d refused of %d constructed messages", opened, refused, opened+refused)
}

func TestControlsOfConstructedMessagesSayWhatTheIndexSays(t *testing.T) {
	open := func(name string) *cmc.PKIData {
		d, err := cmc.ParsePKIData(vector(t, "constructed/"+name+".content.der"))
		if err != nil {
			t.Fatalf("ParsePKIData(%s) = %v", name, err)
		}
		return d
	}
	d := open("cmc-pkidata-pkcs10")
	id, _, ok := cmc.Find[*cmc.TransactionID](d.Controls)
	nonce, _, hasNonce := cmc.Find[cmc.SenderNonce](d.Controls)
	returned, at, hasReturned := cmc.Find[cmc.DataReturn](d.Controls)
	if !ok || id.Number.Uint64() != 0x0123456789abcdef || !hasNonce || len(nonce) != 16 || !hasReturned || string(returned) != "opaque client state" || at != 103 {
		t.Errorf("controls of cmc-pkidata-pkcs10: %v %x %q at %d", id, nonce, returned, at)
	}
	if u := open("neg-cmc-pkidata-unknown-control").Unknown(); !slices.Equal(u, []cmc.BodyPartID{104}) {
		t.Errorf("Unknown() = %v, want 104", u)
	}
	w, _, ok := cmc.Find[*cmc.LRAPOPWitness](open("cmc-pkidata-rapopwitness").Controls)
	if !ok || w.PKIData != 0 || !slices.Equal(w.Requests, []cmc.BodyPartID{1}) {
		t.Errorf("RA POP witness = %+v", w)
	}
	if q, _, ok := cmc.Find[cmc.QueryPending](open("cmc-pkidata-querypending").Controls); !ok || string(q) != "token" {
		t.Errorf("query pending = %q", q)
	}
	r, _, ok := cmc.Find[*cmc.RevokeRequest](open("cmc-pkidata-revokerequest").Controls)
	if !ok || r.SerialNumber.Int64() != 4242 || r.Reason != 4 || r.Passphrase != nil {
		t.Errorf("revocation request = %+v", r)
	}
	if g, at, ok := cmc.Find[*cmc.GetCRL](open("cmc-pkidata-getcrl").Controls); !ok || at != 5 || len(g.RawIssuer) == 0 || g.RawName != nil || !g.Time.IsZero() {
		t.Errorf("get CRL = %+v", g)
	}
}

// What Windows sends: signed with the requested key, one control of its own with bodyPartID 2, RSA-1024 and SHA-1.
func TestMicrosoftCertreqIsUnderstoodAndRefusedForItsAlgorithms(t *testing.T) {
	data := vector(t, "cmc/ms-certreq-fullcmc-request.der")
	_, err := cmc.OpenRequest(data, nil)
	e := failure(t, err, cmc.FailBadAlg)
	if e.Received == nil || len(e.Received.Requests) != 1 || !errors.Is(err, cms.ErrWeakAlgorithm) {
		t.Fatalf("OpenRequest = %v", err)
	}
	d := e.Received
	if u := d.Unknown(); !slices.Equal(u, []cmc.BodyPartID{2}) {
		t.Errorf("Unknown() = %v, want 2", u)
	}
	u, _, ok := cmc.Find[*cmc.UnknownControl](d.Controls)
	if !ok || u.Type.String() != "1.3.6.1.4.1.311.10.10.1" {
		t.Errorf("control %+v, want Microsoft's", u)
	}
	sd, err := cms.ParseSignedData(data)
	if err != nil || len(sd.Signers) != 1 || string(sd.Signers[0].SubjectKeyID) != string(d.Requests[0].SubjectKeyID()) {
		t.Errorf("the signer is not named by the request's subject key identifier: %v", err)
	}
	if inner := vector(t, "cmc/ms-certreq-inner-pkcs10.der"); string(d.Requests[0].PKCS10.Raw) != string(inner) {
		t.Error("the request inside is not the published one")
	}
	failure(t, d.Requests[0].VerifyPOP(), cmc.FailBadAlg)
	t.Log("figures: 1 real request recognised, refused for RSA-1024 with SHA-1")
}

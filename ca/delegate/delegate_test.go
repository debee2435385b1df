package delegate_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/catest"
	"github.com/briskest/briskest/ca/delegate"
	"github.com/briskest/briskest/ca/profile"
)

// house is a foreign CA and one order at it.
type house struct {
	*catest.Foreign
	request *ca.Request
	rules   delegate.Rules
}

func newHouse(t testing.TB) *house {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	subject := pkix.Name{CommonName: "device-1"}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: subject, DNSNames: []string{"device-1.example.com"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{Foreign: catest.NewForeign(t)}
	p := catest.DeviceProfile(t)
	h.rules = delegate.Rules{Profiles: map[string]*profile.Profile{"device": p}, Chain: h.Chain()}
	h.request = &ca.Request{
		ID: "1", Profile: "device", PublicKey: key.Public(), Subject: subject.ToRDNSequence(),
		Names: ca.Names{DNS: []string{"device-1.example.com"}}, CSR: csr, Record: func(context.Context, *ca.Intent) error { return nil },
	}
	return h
}

func (h *house) order(t testing.TB) *delegate.Order {
	o, err := h.rules.Begin(t.Context(), h.request)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (h *house) wish(o *delegate.Order) *catest.Wish {
	return &catest.Wish{
		PublicKey: o.CSR.PublicKey, RawSubject: o.CSR.RawSubject, DNS: o.CSR.DNSNames,
		NotBefore: o.Intent.NotBefore, NotAfter: o.Intent.NotAfter,
	}
}

func TestTheKindOfStringAndTheCaseOfDNSNamesDoNotMatter(t *testing.T) {
	h := newHouse(t)
	o := h.order(t)
	w := h.wish(o)
	w.DNS = []string{"Device-1.EXAMPLE.com"}
	var err error
	utf8 := asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte("device-1")}
	w.RawSubject, err = asn1.Marshal(pkix.RDNSequence{{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: utf8}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Accept(h.Sign(w), nil); err != nil {
		t.Errorf("Accept: %v", err)
	}
}

func TestAShorterCertificateThanOrderedIsTaken(t *testing.T) {
	h := newHouse(t)
	o := h.order(t)
	w := h.wish(o)
	w.NotAfter = time.Now().Add(time.Hour)
	c, err := o.Accept(h.Sign(w), nil)
	if err != nil || c.NotAfter.Sub(w.NotAfter).Abs() > time.Second {
		t.Errorf("Accept = %v, %v, want it with the end it has", c, err)
	}
}

func TestAnAskedRequestMustBeTheOneOnRecord(t *testing.T) {
	h := newHouse(t)
	o := h.order(t)
	asked := *o.Intent
	asked.TBSHash[0] ^= 1
	h.request.Asked = &asked
	if _, err := h.rules.Begin(t.Context(), h.request); !errors.Is(err, ca.ErrRejected) {
		t.Errorf("Begin = %v, want ErrRejected", err)
	}
}

func TestACSRWithoutOrWithAnotherKeyIsRefusedBeforeTheRecord(t *testing.T) {
	other := newHouse(t)
	for name, csr := range map[string][]byte{"none": nil, "garbage": []byte("30"), "another key": other.request.CSR} {
		h := newHouse(t)
		h.request.CSR = csr
		h.request.Record = func(context.Context, *ca.Intent) error {
			t.Errorf("%s: it was recorded", name)
			return nil
		}
		if _, err := h.rules.Begin(t.Context(), h.request); !errors.Is(err, ca.ErrRejected) {
			t.Errorf("%s: Begin = %v, want ErrRejected", name, err)
		}
	}
}

func TestAnErrorSaysWhetherTheRequestMayHaveArrived(t *testing.T) {
	cut := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		panic(http.ErrAbortHandler)
	}))
	defer cut.Close()
	long := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(make([]byte, 2000))
	}))
	defer long.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + l.Addr().String()
	l.Close()
	for _, c := range []struct {
		name, url string
		arrived   bool
	}{{"nobody listens", closed, false}, {"the connection ends", cut.URL, true}, {"the answer is too long", long.URL, true}} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url, strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = delegate.Do(http.DefaultClient, request, 1000, nil)
		var later *ca.Later
		if !errors.Is(err, ca.ErrUnavailable) || errors.As(err, &later) != c.arrived {
			t.Errorf("%s: Do = %v, want ErrUnavailable, a Later: %t", c.name, err, c.arrived)
		}
	}
}

func TestEachStatusHasItsMeaning(t *testing.T) {
	for status, want := range map[int]struct {
		err   error
		later bool
	}{
		400: {ca.ErrRejected, false}, 404: {ca.ErrRejected, false}, 422: {ca.ErrRejected, false},
		401: {ca.ErrUnavailable, false}, 403: {ca.ErrUnavailable, false},
		408: {ca.ErrUnavailable, true}, 429: {ca.ErrUnavailable, true}, 500: {ca.ErrUnavailable, true}, 503: {ca.ErrUnavailable, true},
	} {
		err := delegate.Refusal(&delegate.Answer{Status: status, Header: http.Header{"Retry-After": {"17"}}}, "no\x1b[31m\n")
		var later *ca.Later
		if !errors.Is(err, want.err) || errors.As(err, &later) != want.later {
			t.Errorf("%d: %v, want %v, a Later: %t", status, err, want.err, want.later)
		}
		if later != nil && later.After != 17*time.Second {
			t.Errorf("%d: come again in %s, want 17s", status, later.After)
		}
		if strings.ContainsAny(err.Error(), "\x1b\n") {
			t.Errorf("%d: the sentence came with its control characters: %q", status, err)
		}
	}
}

func FuzzAccept(f *testing.F) {
	h := newHouse(f)
	o := h.order(f)
	good := h.Sign(h.wish(o))
	f.Add(good)
	for _, fault := range []catest.Fault{catest.WrongKey, catest.MoreNames, catest.MakesCA} {
		h.Fail(fault)
		f.Add(h.Sign(h.wish(o)))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := o.Accept(raw, nil)
		if err != nil {
			return
		}
		parsed, err := x509.ParseCertificate(c.Raw)
		if err != nil || parsed.IsCA || len(parsed.DNSNames) != 1 || parsed.CheckSignatureFrom(h.Issuing) != nil {
			t.Errorf("took %x: %v", raw, err)
		}
	})
}

package est_test

import (
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/testpki"
)

const (
	palPath = "/.well-known/est/pal"
	palJSON = "application/json"
)

func palItem(kind, uri string) string {
	return fmt.Sprintf(`{"type":%q,"size":1,"info":{"uri":%q}}`, kind, uri)
}

// serveFiles answers each path with a content type and a body.
func (w *world) serveFiles(t testing.TB, files map[string][2]string) (*server, *est.Client) {
	t.Helper()
	s := w.net.serve(t, "est.example", named(t, w.own, "est.example"), http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		f, ok := files[r.URL.RequestURI()]
		if !ok {
			http.NotFound(rw, r)
			return
		}
		rw.Header().Set("Content-Type", f[0])
		_, _ = io.WriteString(rw, f[1])
	}))
	return s, w.net.client(t, s, w.own.Pool())
}

// EST-8295-2-08: the items of a list that goes on in another one are fetched in their order.
func TestPackagesAreFetchedInTheOrderOfAllTheLists(t *testing.T) {
	w := newWorld(t)
	const more = "https://est.example/.well-known/est/pal/more"
	s, c := w.serveFiles(t, map[string][2]string{
		palPath:             {palJSON, "[" + palItem("0002", "/a") + "," + palItem("0005", "https://est.example/b") + "," + palItem("0001", "?page=2") + "]"},
		palPath + "?page=2": {palJSON, "[" + palItem("0003", "/c") + "," + palItem("0001", more) + "]"},
		palPath + "/more": {"application/xml; charset=utf-8", `<pal xmlns="urn:ietf:params:xml:ns:pal"><message><type>0003</type><size>1</size><info><uri>/d</uri></info></message>` +
			`<message><type>0007</type><size>0</size><info><ski>0102</ski></info></message></pal>`},
		"/a": {"x/a", "A"}, "/b": {"x/b", "B"}, "/c": {"x/c", "C"}, "/d": {"x/d", "D"},
	})
	all, err := c.Packages(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for i := range all {
		p, err := c.FetchPackage(t.Context(), &all[i])
		if all[i].Info.URI == "" {
			if !errors.Is(err, est.ErrPAL) {
				t.Errorf("FetchPackage without a URI: %v, want ErrPAL", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		got.Write(p.Body)
	}
	if len(all) != 5 || got.String() != "ABCD" {
		t.Errorf("%d items, fetched %q, want ABCD", len(all), got.String())
	}
	if asked := s.asked(); len(asked) != 7 || asked[3] != "GET /a" {
		t.Errorf("asked %q", asked)
	}
}

func TestAHostilePackageListIsRefused(t *testing.T) {
	w := newWorld(t)
	elsewhere := w.net.serve(t, "other.example", named(t, w.own, "other.example"), http.NotFoundHandler())
	one := palItem("0002", "/a") + ","
	round := map[string][2]string{palPath: {palJSON, "[" + one + palItem("0001", palPath) + "]"}}
	endless := map[string][2]string{palPath: {palJSON, "[" + one + palItem("0001", palPath+"?0") + "]"}}
	for i := range 100 {
		endless[palPath+fmt.Sprintf("?%d", i)] = [2]string{palJSON, "[" + one + palItem("0001", palPath+fmt.Sprintf("?%d", i+1)) + "]"}
	}
	for what, files := range map[string]map[string][2]string{
		"goes round": round, "never ends": endless,
		"goes elsewhere": {palPath: {palJSON, "[" + one + palItem("0001", "https://other.example/") + "]"}},
		"is plain http":  {palPath: {palJSON, "[" + one + palItem("0001", "http://est.example/") + "]"}},
		"is no list":     {palPath: {palJSON, "{}"}},
		"is empty":       {palPath: {palJSON, "[]"}},
		"is a page":      {palPath: {"text/html", "[" + one + "]"}},
		"is huge":        {palPath: {palJSON, "[" + strings.Repeat(" ", 1<<20) + "]"}},
	} {
		_, c := w.serveFiles(t, files)
		if _, err := c.Packages(t.Context()); !errors.Is(err, est.ErrAnswer) {
			t.Errorf("a list that %s: %v, want ErrAnswer", what, err)
		}
	}
	_, c := w.serveFiles(t, nil)
	for _, uri := range []string{"https://other.example/x", "http://est.example/x", "file:///etc/passwd", "https://u@est.example/", "//other.example/x"} {
		if _, err := c.FetchPackage(t.Context(), &est.Package{Type: "0002", Info: est.PackageInfo{URI: uri}}); !errors.Is(err, est.ErrPAL) {
			t.Errorf("a package at %s: %v, want ErrPAL", uri, err)
		}
	}
	var status *est.StatusError
	if _, err := c.Packages(t.Context()); !errors.As(err, &status) {
		t.Errorf("no list at all: %v, want a StatusError", err)
	}
	if asked := elsewhere.asked(); len(asked) != 0 {
		t.Errorf("another origin was asked %q", asked)
	}
}

// EST-8295-3-03: end-entity certificates that do not validate to an authorized anchor are dropped.
func TestForeignEECertificatesAreDropped(t *testing.T) {
	w := newWorld(t)
	ca := w.own.NewIntermediate(t, "CA")
	good, direct := ca.Client(t, "good"), w.own.Client(t, "direct")
	foreign := testpki.NewRoot(t, "domain root").NewIntermediate(t, "CA").Client(t, "foreign")
	old := ca.Issue(t, &x509.Certificate{NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)}, testpki.NewKey(t))
	_, c := w.serveFiles(t, map[string][2]string{
		"/.well-known/est/eecerts": {"application/pkcs7-mime", b64(certsOnly(t, foreign.Certificate, good.Certificate, old.Certificate, direct.Certificate))},
		"/.well-known/est/cacerts": {"application/pkcs7-mime", b64(certsOnly(t, ca.Certificate, w.own.Certificate))},
	})
	set, err := c.TrustedCACerts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	certs, err := c.EECerts(t.Context(), set)
	if err != nil || len(certs) != 2 || !slices.ContainsFunc(certs, good.Certificate.Equal) || !slices.ContainsFunc(certs, direct.Certificate.Equal) {
		t.Errorf("EECerts: %d certificates, %v", len(certs), err)
	}
}

// EST-8295-4-02: revocation lists that do not validate are dropped.
func TestRevocationListsThatDoNotValidateAreDropped(t *testing.T) {
	w := newWorld(t)
	ca := w.own.NewIntermediate(t, "CA")
	list := func(by *testpki.Identity, number int64, from, until time.Duration) []byte {
		der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
			Number: big.NewInt(number), ThisUpdate: time.Now().Add(from), NextUpdate: time.Now().Add(until),
		}, by.Certificate, by.Key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	bad := list(ca, 2, -time.Hour, time.Hour)
	bad[len(bad)-1] ^= 1
	foreign := testpki.NewRoot(t, "domain root")
	der, err := cms.CRLsOnly(
		list(ca, 1, -time.Hour, time.Hour), bad, list(foreign, 3, -time.Hour, time.Hour), list(ca, 4, -2*time.Hour, -time.Hour),
		list(ca, 5, time.Hour, 2*time.Hour), list(w.own, 6, -time.Hour, time.Hour),
	)
	if err != nil {
		t.Fatal(err)
	}
	_, c := w.serveFiles(t, map[string][2]string{
		"/.well-known/est/crls":    {"application/pkcs7-mime", b64(der)},
		"/.well-known/est/cacerts": {"application/pkcs7-mime", b64(certsOnly(t, ca.Certificate, w.own.Certificate))},
	})
	set, err := c.TrustedCACerts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lists, err := c.CRLs(t.Context(), set)
	if err != nil || len(lists) != 2 || lists[0].Number.Int64()+lists[1].Number.Int64() != 7 {
		t.Errorf("CRLs: %d lists, %v, want numbers 1 and 6", len(lists), err)
	}
}

package est_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"math/big"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/est/esttest"
	"github.com/briskest/briskest/internal/cms"
)

// distributor is a Backend with what RFC 8295 adds.
type distributor struct {
	*esttest.Backend
	list []est.Package
	crl  []byte
	err  error
}

func (d *distributor) Packages(context.Context, *est.Request) ([]est.Package, error) {
	return d.list, d.err
}
func (d *distributor) EECerts(context.Context, *est.Request) ([]*x509.Certificate, error) {
	return []*x509.Certificate{d.CA.Certificate}, d.err
}
func (d *distributor) CRLs(context.Context, *est.Request) ([][]byte, error) {
	return [][]byte{d.crl}, d.err
}

func newDistributor(t *testing.T) *distributor {
	t.Helper()
	b := esttest.New(t)
	crl, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour),
	}, b.CA.Certificate, b.CA.Key)
	if err != nil {
		t.Fatal(err)
	}
	return &distributor{Backend: b, crl: crl, list: []est.Package{
		{Type: est.PackageCACertificates, Size: 1, Info: est.PackageInfo{URI: "https://est.example/.well-known/est/cacerts"}},
		{Type: est.PackageCRL, Size: 2, Info: est.PackageInfo{DN: "CN=CA & Sons"}},
		{Type: est.PackageEECertificates, Size: 3, Info: est.PackageInfo{SKI: []byte{1, 0xab}}, Date: time.Date(2026, 2, 3, 4, 5, 6, 7, time.FixedZone("x", 3600))},
		{Type: est.PackageReenroll, Info: est.PackageInfo{Issuer: "CN=CA", Serial: big.NewInt(77)}},
	}}
}

// ask sends a GET with an Accept, "" for none.
func (d *distributor) ask(path, accept string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", "/.well-known/est/"+path, nil)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	w := httptest.NewRecorder()
	(&est.Handler{Backend: d, AllowPlaintext: true}).ServeHTTP(w, r)
	return w
}

// EST-8295-2-02: JSON or XML, by Accept.
func TestThePackageListComesInTheFormThatIsAccepted(t *testing.T) {
	d := newDistributor(t)
	for accept, want := range map[string]string{
		"":                 "application/json",
		"*/*":              "application/json",
		"application/json": "application/json",
		"application/xml":  "application/xml",
		"application/json;q=0.5, application/xml": "application/xml",
		"text/html, application/*;q=0.1":          "application/json",
		"APPLICATION/XML":                         "application/xml",
		"text/html":                               "",
		"application/json;q=0":                    "",
	} {
		w := d.ask("pal", accept)
		if want == "" {
			if w.Code != 406 || !strings.Contains(w.Body.String(), est.ReasonNotAcceptable) {
				t.Errorf("Accept %q: %d %s", accept, w.Code, w.Body)
			}
			continue
		}
		if w.Code != 200 || w.Header().Get("Content-Type") != want || w.Header().Get("Content-Length") != fmt.Sprint(w.Body.Len()) {
			t.Fatalf("Accept %q: %d %v, want %s", accept, w.Code, w.Header(), want)
		}
		list, err := est.ParsePAL(w.Header().Get("Content-Type"), w.Body.Bytes())
		if err != nil || len(list) != len(d.list) {
			t.Fatalf("%s: %v, %v\n%s", want, list, err, w.Body)
		}
		for n := range list {
			got, want := list[n], d.list[n]
			if got.Type != want.Type || got.Size != want.Size || !got.Date.Equal(want.Date.Truncate(time.Second)) || fmt.Sprint(got.Info) != fmt.Sprint(want.Info) {
				t.Errorf("item %d is %+v, want %+v", n, got, want)
			}
		}
	}
}

// EST-8295-2-03, EST-8295-2-05: each item has four digits of type, a size and
// an info; a date has whole seconds and no more.
func TestEachItemOfThePackageListHasWhatTheSchemaAsks(t *testing.T) {
	d := newDistributor(t)
	var items []struct {
		Type *string         `json:"type"`
		Date *string         `json:"date"`
		Size *int64          `json:"size"`
		Info json.RawMessage `json:"info"`
	}
	if err := json.Unmarshal(d.ask("pal", "application/json").Body.Bytes(), &items); err != nil {
		t.Fatal(err)
	}
	date, digits := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:[0-5]\dZ$`), regexp.MustCompile(`^\d{4}$`)
	dates := 0
	for n, item := range items {
		if item.Type == nil || !digits.MatchString(*item.Type) || item.Size == nil || item.Info == nil {
			t.Errorf("item %d: %+v", n, item)
		}
		if item.Date != nil {
			if dates++; !date.MatchString(*item.Date) || *item.Date != "2026-02-03T03:05:06Z" {
				t.Errorf("item %d has the date %s", n, *item.Date)
			}
		}
	}
	if len(items) != 4 || dates != 1 {
		t.Errorf("%d items, %d dates", len(items), dates)
	}
	var document struct {
		XMLName xml.Name
		Message []struct{} `xml:"message"`
	}
	text := d.ask("pal", "application/xml").Body.String()
	if err := xml.Unmarshal([]byte(text), &document); err != nil || document.XMLName.Space != "urn:ietf:params:xml:ns:pal" || len(document.Message) != 4 {
		t.Errorf("XML: %v, %v\n%s", document, err, text)
	}
}

// EST-8295-2-04: an item names exactly one thing.
func TestAPackageListThatIsNotWholeIsNeitherSentNorTaken(t *testing.T) {
	uri := est.PackageInfo{URI: "/x"}
	for what, list := range map[string][]est.Package{
		"nothing":                      {},
		"an info of nothing":           {{Type: "0002"}},
		"a DN and a URI":               {{Type: "0002", Info: est.PackageInfo{DN: "CN=a", URI: "/x"}}},
		"a SKI and a serial number":    {{Type: "0002", Info: est.PackageInfo{SKI: []byte{1}, Issuer: "CN=a", Serial: big.NewInt(1)}}},
		"an issuer alone":              {{Type: "0002", Info: est.PackageInfo{Issuer: "CN=a"}}},
		"a serial number alone":        {{Type: "0002", Info: est.PackageInfo{Serial: big.NewInt(1)}}},
		"a type of three digits":       {{Type: "002", Info: uri}},
		"the reserved type":            {{Type: "0000", Info: uri}},
		"a size below zero":            {{Type: "0002", Size: -1, Info: uri}},
		"a link that is not last":      {{Type: "0002", Info: uri}, {Type: "0001", Info: uri}, {Type: "0002", Info: uri}},
		"a link that is the only item": {{Type: "0001", Info: uri}},
		"a link without URI":           {{Type: "0002", Info: uri}, {Type: "0001", Info: est.PackageInfo{DN: "CN=a"}}},
	} {
		d := newDistributor(t)
		d.list = list
		if w := d.ask("pal", ""); w.Code < 400 {
			t.Errorf("%s: %d %s", what, w.Code, w.Body)
		}
	}
	const item = `{"type":"0002","size":1,"info":{"uri":"/x"}}`
	for what, body := range map[string]string{
		"two infos":             `[{"type":"0002","size":1,"info":{"uri":"/x","dn":"CN=a"}}]`,
		"no size":               `[{"type":"0002","info":{"uri":"/x"}}]`,
		"no info":               `[{"type":"0002","size":1}]`,
		"a date with a leap":    `[{"type":"0002","size":1,"date":"2016-12-31T23:59:60Z","info":{"uri":"/x"}}]`,
		"a date with an offset": `[{"type":"0002","size":1,"date":"2016-12-31T23:59:00+01:00","info":{"uri":"/x"}}]`,
		"an object":             item,
		"two lists":             `[` + item + `][` + item + `]`,
		"a SKI of letters":      `[{"type":"0002","size":1,"info":{"ski":"xyz"}}]`,
		"a serial of a mile":    `[{"type":"0002","size":1,"info":{"iasn":{"issuer":"CN=a","serial":` + strings.Repeat("9", 65) + `}}}]`,
		"more than 64 items":    `[` + strings.Repeat(item+",", 64) + item + `]`,
	} {
		if list, err := est.ParsePAL("application/json", []byte(body)); !errors.Is(err, est.ErrPAL) {
			t.Errorf("%s: %v, %v", what, list, err)
		}
	}
	for what, body := range map[string]string{
		"a DOCTYPE":       `<!DOCTYPE pal [<!ENTITY a "b">]><pal xmlns="urn:ietf:params:xml:ns:pal"></pal>`,
		"another element": `<lap xmlns="urn:ietf:params:xml:ns:pal"></lap>`,
		"two lists":       `<pal xmlns="urn:ietf:params:xml:ns:pal"><message><type>0002</type><size>1</size><info><uri>/x</uri></info></message></pal><pal/>`,
	} {
		if list, err := est.ParsePAL("application/xml", []byte(body)); !errors.Is(err, est.ErrPAL) {
			t.Errorf("%s: %v, %v", what, list, err)
		}
	}
	if _, err := est.ParsePAL("text/plain", []byte("[]")); !errors.Is(err, est.ErrPAL) {
		t.Errorf("text/plain: %v", err)
	}
}

// EST-8295-2-06: a long list is continued elsewhere, as its last item says.
func TestALongPackageListIsContinued(t *testing.T) {
	for count, pages := range map[int]int{1: 1, 64: 1, 65: 2, 127: 2, 128: 3, 200: 4} {
		d := newDistributor(t)
		d.list = nil
		for n := range count {
			d.list = append(d.list, est.Package{Type: est.PackageCRL, Size: int64(n), Info: est.PackageInfo{URI: "/x"}})
		}
		seen, at := 0, "pal"
		for page := 1; ; page++ {
			list, err := est.ParsePAL("application/json", d.ask(at, "").Body.Bytes())
			if err != nil {
				t.Fatalf("%d items, page %d: %v", count, page, err)
			}
			last := list[len(list)-1]
			more := last.Type == est.PackageMore
			if more {
				list = list[:len(list)-1]
			}
			for _, p := range list {
				if p.Size != int64(seen) {
					t.Fatalf("%d items, page %d: item %d comes after %d", count, page, p.Size, seen)
				}
				seen++
			}
			if !more {
				if seen != count || page != pages {
					t.Errorf("%d items: %d seen on %d pages, want %d", count, seen, page, pages)
				}
				break
			}
			at = strings.TrimPrefix(last.Info.URI, "/.well-known/est/")
		}
		for _, page := range []string{"99", "-1", "x", "99999999999999999999"} {
			if w := d.ask("pal?page="+page, ""); w.Code != 404 {
				t.Errorf("page %s of %d items: %d", page, count, w.Code)
			}
		}
	}
}

// EST-8295-3-02, EST-8295-4-01: certificates as cacerts has them, and CRLs
// alone in the same form.
func TestEECertificatesAndCRLsComeInTheirDegenerateForm(t *testing.T) {
	d := newDistributor(t)
	w := d.ask("eecerts", "")
	if certs := certsOf(t, w.Body.String()); w.Code != 200 || len(certs) != 1 || !certs[0].Equal(d.CA.Certificate) ||
		w.Header().Get("Content-Type") != "application/pkcs7-mime; smime-type=certs-only" {
		t.Errorf("eecerts: %d %v", w.Code, w.Header())
	}
	w = d.ask("crls", "")
	der, err := base64.StdEncoding.DecodeString(w.Body.String())
	if err != nil {
		t.Fatal(err)
	}
	lists, err := cms.ParseCRLsOnly(der)
	if err != nil || len(lists) != 1 || lists[0].CheckSignatureFrom(d.CA.Certificate) != nil || w.Header().Get("Content-Type") != "application/pkcs7-mime" {
		t.Errorf("crls: %v, %v, %v", lists, err, w.Header())
	}
	if sd, err := cms.ParseSignedData(der); err != nil || len(sd.Certificates) != 0 {
		t.Errorf("crls comes with certificates: %v", err)
	}
	d.err = &est.Error{Status: 403, Reason: "no", Message: "No."}
	for _, op := range []string{"pal", "eecerts", "crls"} {
		if w := d.ask(op, ""); w.Code != 403 {
			t.Errorf("%s of a backend that refuses: %d", op, w.Code)
		}
		plain := httptest.NewRecorder()
		(&est.Handler{Backend: d.Backend, AllowPlaintext: true}).ServeHTTP(plain, httptest.NewRequest("GET", "/.well-known/est/"+op, nil))
		if plain.Code != 501 {
			t.Errorf("%s of a backend without it: %d", op, plain.Code)
		}
	}
}

func TestThePublishedPackageListIsRead(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(vectors(t), "rfc8295", "2.1.3-pal-example.json"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := est.ParsePAL("application/json", data)
	if err != nil || len(list) != 2 || list[0].Type != est.PackageEECertificates || list[1].Info.Serial.Sign() != 0 {
		t.Errorf("%v, %v", list, err)
	}
}

func FuzzPAL(f *testing.F) {
	f.Add(false, []byte(`[{"type":"0002","size":1,"date":"2016-12-29T09:28:00Z","info":{"iasn":{"issuer":"CN=a","serial":0}}}]`))
	f.Add(true, []byte(`<pal xmlns="urn:ietf:params:xml:ns:pal"><message><type>0002</type><size>1</size><info><uri>/x</uri></info></message></pal>`))
	f.Fuzz(func(t *testing.T, asXML bool, body []byte) {
		contentType := "application/json"
		if asXML {
			contentType = "application/xml"
		}
		list, err := est.ParsePAL(contentType, body)
		if err != nil {
			return
		}
		d := &distributor{Backend: esttest.New(t), list: list}
		if w := d.ask("pal", contentType); w.Code != 200 {
			t.Errorf("what was read cannot be sent: %d %s", w.Code, w.Body)
		}
	})
}

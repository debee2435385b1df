package registrar_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/brski/brskitest"
	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
	"github.com/briskest/briskest/voucher/vouchercose"
	"github.com/briskest/briskest/voucher/voucherjws"
)

// sendIn sends the device's voucher-request in another format.
func (a *ask) sendIn(format voucher.Format) (*brski.Voucher, error) {
	a.h.t.Helper()
	raw, err := format.SignRequest(a.h.t.Context(), a.q, &voucher.Signer{Key: a.idevid.Key, Certificate: a.idevid.Certificate})
	if err != nil {
		a.h.t.Fatal(err)
	}
	q, artifact, err := format.OpenRequest(raw)
	if err != nil {
		a.h.t.Fatal(err)
	}
	return a.h.service.BRSKI().RequestVoucher(a.h.t.Context(), &brski.VoucherRequest{
		Call:   brski.Call{ID: "v", Operation: brski.OpRequestVoucher, Peer: a.peer, At: a.h.now()},
		Format: format, Request: q, Artifact: artifact, Accept: []voucher.Format{format},
	})
}

// sentRequest is what arrived at a MASA.
type sentRequest struct {
	contentType, accept string
	raw                 []byte
}

// listeningMASA takes voucher-requests over TLS, and knows no device.
func listeningMASA(t *testing.T) (*brski.MASAClient, <-chan sentRequest) {
	root := testpki.NewRoot(t, "masa root")
	sent := make(chan sentRequest, 1)
	url := brskitest.Serve(t, root.Server(t, "masa"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("the registrar's request: %v", err)
		}
		sent <- sentRequest{r.Header.Get("Content-Type"), r.Header.Get("Accept"), raw}
		http.Error(w, "unknown", http.StatusNotFound)
	}))
	client := &brski.MASAClient{URL: url + brski.PathPrefix, Roots: root.Pool()}
	t.Cleanup(client.CloseIdleConnections)
	return client, sent
}

// BRSKI-8366BIS-6.1-01: idevid-issuer is in the registrar's request, in CMS, JWS and COSE.
// BRSKI-JWS-4-01: which has the media type of its format at the MASA.
// BRSKI-JWS-3-02: in JWS it has the members payload and signatures alone, without padding, and UTF-8 JSON inside.
// BRSKI-8366BIS-7.1-06: in CMS it is of version 3, with one signer, the voucher content type and signed attributes.
func TestTheRegistrarsRequestArrivesWholeInEachFormat(t *testing.T) {
	client, sent := listeningMASA(t)
	for _, format := range []voucher.Format{vouchercms.Format{}, voucherjws.Format{}, vouchercose.Format{}} {
		h := newHouse(t, func(h *house) {
			h.settings.Formats = []voucher.Format{vouchercms.Format{}, voucherjws.Format{}, vouchercose.Format{}}
			h.settings.DialMASA = func(*registrar.Manufacturer, string) (brski.MASA, error) { return client, nil }
		})
		h.importSerials("SN-1")
		a := h.pledge(h.idevidCA.IDevID(t, "SN-1", ""), nil)
		_, err := a.sendIn(format)
		refusal(t, err, registrar.ReasonMASAUnknown, 404)
		got := <-sent
		if got.contentType != format.MediaType() || !strings.Contains(got.accept, format.MediaType()) {
			t.Errorf("%s was sent as %q, and %q asked for", format.MediaType(), got.contentType, got.accept)
		}
		q, artifact, err := format.OpenRequest(got.raw)
		if err != nil {
			t.Fatalf("%s: %v", format.MediaType(), err)
		}
		issuer, err := voucher.IDevIDIssuer(a.idevid.Certificate)
		if err != nil || !bytes.Equal(q.IDevIDIssuer, issuer) || !artifact.Signer.Equal(h.registrar.Certificate) {
			t.Errorf("%s: idevid-issuer %x, signer %s; want %x and the registrar", format.MediaType(), q.IDevIDIssuer, artifact.Signer.Subject, issuer)
		}
		switch format.(type) {
		case voucherjws.Format:
			isGeneralJSON(t, got.raw, artifact.Payload)
		case vouchercms.Format:
			sd, err := cms.ParseSignedData(got.raw)
			if err != nil || sd.Version != 3 || !sd.ContentType.Equal(cms.OIDAnimaJSONVoucher()) || len(sd.Signers) != 1 || !sd.Signers[0].HasSignedAttributes {
				t.Errorf("CMS: %v, %+v", err, sd)
			}
		}
	}
}

func isGeneralJSON(t *testing.T, raw, payload []byte) {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || !slices.Equal(slices.Sorted(maps.Keys(members)), []string{"payload", "signatures"}) {
		t.Errorf("members %v, %v; want payload and signatures", slices.Sorted(maps.Keys(members)), err)
	}
	if bytes.ContainsRune(raw, '=') || !utf8.Valid(payload) || !json.Valid(payload) {
		t.Errorf("padding, or a payload that is not UTF-8 JSON: %s", raw)
	}
}

// BRSKI-8366BIS-7.1-05, BRSKI-8366-5.4-02: a request and a voucher of version 1 with id-data, as in PKCS #7, are taken.
// BRSKI-8995-5.6-01: the voucher goes to the pledge, and into the record, in the MASA's bytes and not as we would write it.
func TestAVoucherOfVersion1IsAskedForAndHandedOnByteForByte(t *testing.T) {
	h := newHouse(t, nil)
	h.importSerials("SN-1")
	a := h.pledge(h.idevidCA.IDevID(t, "SN-1", ""), nil)
	var err error
	if a.raw, err = cms.Sign(&cms.SignRequest{Content: mustOpen(t, a.raw).Payload, Key: a.idevid.Key, Certificate: a.idevid.Certificate}); err != nil {
		t.Fatal(err)
	}
	var sent []byte
	h.masa.set(func(m *fakeMASA) {
		m.answer = func(v *brski.Voucher) {
			_, artifact, err := vouchercms.Format{}.OpenVoucher(v.Raw)
			if err != nil {
				t.Error(err)
				return
			}
			spaced := bytes.ReplaceAll(artifact.Payload, []byte(`,"`), []byte(" ,\n\"")) // as others write it
			if v.Raw, err = cms.Sign(&cms.SignRequest{Content: spaced, Key: m.signer.Key, Certificate: m.signer.Certificate}); err != nil {
				t.Error(err)
			}
			sent = v.Raw
		}
	})
	for range 2 { // the second time from the record
		got, err := a.send()
		if err != nil || !bytes.Equal(got.Raw, sent) || h.masa.count() != 1 {
			t.Errorf("the pledge gets other bytes than the MASA sent: %v; it was asked %d times", err, h.masa.count())
		}
	}
	q, _ := h.masa.lastRequest(t)
	if !bytes.Equal(q.PriorSignedVoucherRequest, a.raw) {
		t.Error("the pledge's request did not travel byte for byte")
	}
	for what, raw := range map[string][]byte{"request": a.raw, "voucher": sent} {
		if sd, err := cms.ParseSignedData(raw); err != nil || sd.Version != 1 || !sd.ContentType.Equal(cms.OIDData()) {
			t.Errorf("the %s is not what the test is about: %v", what, err)
		}
	}
}

// BRSKI-8366BIS-9.2-02: agent-proximity is asked of no MASA, as there is no agent-sign-cert to send with it, whatever is allowed.
func TestAnAgentsProximityIsNotAskedFor(t *testing.T) {
	h := newHouse(t, func(h *house) { h.settings.Manufacturers["acme"].AllowNoProximity = true })
	h.importSerials("SN-1")
	h.pledge(h.idevidCA.IDevID(t, "SN-1", ""), func(q *voucher.Request) {
		q.Assertion, q.ProximityRegistrarCert = voucher.AgentProximity, nil
		q.AgentProvidedProximityRegistrarCert, q.AgentSignedData = h.registrar.Certificate.Raw, []byte("signed")
	}).refusedAs(registrar.ReasonAssertion, 401)
	if n := h.masa.count(); n != 0 {
		t.Errorf("the MASA was asked %d times", n)
	}
}

package registrar_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// lastRequest returns what the MASA got last, opened.
func (m *fakeMASA) lastRequest(t *testing.T) (*voucher.Request, *voucher.Artifact) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.requests) == 0 {
		t.Fatal("the MASA was not asked")
	}
	q, a, err := vouchercms.Format{}.OpenRequest(m.requests[len(m.requests)-1])
	if err != nil {
		t.Fatalf("the registrar's request: %v", err)
	}
	return q, a
}

// BRSKI-8995-5.5-01: it is signed, by the registrar.
// BRSKI-8995-2.3.1-03, BRSKI-8995-5.5-08, BRSKI-8995-5.5-09, BRSKI-8366BIS-6.1-03: serial number and issuer are those of
// the certificate, whatever the pledge's request says.
// BRSKI-8995-5.5-11: proximity-registrar-cert is not in it.
// BRSKI-8995-3.4-01: nor is what a request does not mean to say.
func TestTheRegistrarsRequestSaysWhatTheIDevIDSays(t *testing.T) {
	h := newHouse(t, nil)
	h.importSerials("SN-1")
	yes := true
	a := h.pledge(h.idevidCA.IDevID(t, "SN-1", ""), func(q *voucher.Request) {
		q.IDevIDIssuer = []byte{4, 4, 0xde, 0xad, 0xbe, 0xef}
		q.PinnedDomainCert = []byte("no certificate")
		q.DomainCertRevocationChecks = &yes
	})
	// What our own library would not write.
	a.resign(bytes.Replace(mustOpen(t, a.raw).Payload, []byte(`"nonce"`), []byte(`"last-renewal-date":"2031-01-01T00:00:00Z","nonce"`), 1))
	if _, err := a.send(); err != nil {
		t.Fatal(err)
	}
	q, artifact := h.masa.lastRequest(t)
	if !artifact.Signer.Equal(h.registrar.Certificate) {
		t.Errorf("signer = %s, want the registrar", artifact.Signer.Subject)
	}
	issuer, err := voucher.IDevIDIssuer(a.idevid.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	if q.SerialNumber != "SN-1" || !bytes.Equal(q.IDevIDIssuer, issuer) || !bytes.Contains(issuer, a.idevid.Certificate.AuthorityKeyId) {
		t.Errorf("serial number %q, issuer %x; want SN-1 and %x", q.SerialNumber, q.IDevIDIssuer, issuer)
	}
	if q.ProximityRegistrarCert != nil || q.PinnedDomainCert != nil || q.DomainCertRevocationChecks != nil || !q.LastRenewalDate.IsZero() {
		t.Errorf("request = %+v, want no certificates and no revocation checks", q)
	}
	if !bytes.Equal(q.PriorSignedVoucherRequest, a.raw) {
		t.Error("the pledge's request did not travel byte for byte")
	}
}

// BRSKI-8995-5-05: binary leaves are in base64 with padding (RFC 4648, Section 4).
func TestBinaryLeavesAreInPaddedBase64(t *testing.T) {
	h := newHouse(t, nil)
	h.vouched("SN-1")
	_, artifact := h.masa.lastRequest(t)
	var payload map[string]map[string]any
	if err := json.Unmarshal(artifact.Payload, &payload); err != nil {
		t.Fatal(err)
	}
	leaves := payload["ietf-voucher-request:voucher"]
	for _, leaf := range []string{"prior-signed-voucher-request", "idevid-issuer"} {
		text, _ := leaves[leaf].(string)
		if _, err := base64.StdEncoding.Strict().DecodeString(text); err != nil || text == "" {
			t.Errorf("%s = %.60q: %v", leaf, text, err)
		}
	}
	if prior, _ := leaves["prior-signed-voucher-request"].(string); !strings.ContainsAny(prior, "+/") {
		t.Errorf("prior-signed-voucher-request = %.60q, which could be base64url", prior)
	}
}

// BRSKI-8995-5.5-06: the nonce is copied as it is written.
// BRSKI-8366BIS-8.4-02: it decodes to 8 to 32 bytes.
func TestNoncesOf8To32BytesAreCopiedAsTheyAreWritten(t *testing.T) {
	h := newHouse(t, nil)
	h.importSerials("SN-1")
	idevid := h.idevidCA.IDevID(t, "SN-1", "")
	bytesOf := func(n int) []byte { return bytes.Repeat([]byte{0xfb}, n) }
	for _, nonce := range []string{
		base64.StdEncoding.EncodeToString(bytesOf(8)), base64.StdEncoding.EncodeToString(bytesOf(32)),
		base64.RawURLEncoding.EncodeToString(bytesOf(16)), "0123456789abcdef0123456789abcdef",
	} {
		if _, err := h.pledge(idevid, func(q *voucher.Request) { q.Nonce = nonce }).send(); err != nil {
			t.Errorf("nonce %q: %v", nonce, err)
			continue
		}
		_, artifact := h.masa.lastRequest(t)
		if !bytes.Contains(artifact.Payload, []byte(`"nonce":"`+nonce+`"`)) {
			t.Errorf("the registrar's request %.200s does not have the nonce %q", artifact.Payload, nonce)
		}
	}
	for _, n := range []int{7, 33} {
		nonce := base64.StdEncoding.EncodeToString(bytesOf(n))
		a := h.pledge(idevid, func(q *voucher.Request) { q.Nonce = base64.StdEncoding.EncodeToString(bytesOf(16)) })
		a.resign(bytes.Replace(mustOpen(t, a.raw).Payload, []byte(base64.StdEncoding.EncodeToString(bytesOf(16))), []byte(nonce), 1))
		if _, _, err := (vouchercms.Format{}).OpenRequest(a.raw); !errors.Is(err, voucher.ErrNonce) { // as the handler opens it
			t.Errorf("nonce of %d bytes: %v", n, err)
		}
	}
}

// resign has the device sign another payload.
func (a *ask) resign(payload []byte) {
	a.h.t.Helper()
	var err error
	signer := &voucher.Signer{Key: a.idevid.Key, Certificate: a.idevid.Certificate}
	if a.raw, err = (vouchercms.Format{}).SignPayload(a.h.t.Context(), payload, time.Time{}, signer); err != nil {
		a.h.t.Fatal(err)
	}
}

func mustOpen(t *testing.T, raw []byte) *voucher.Artifact {
	t.Helper()
	_, artifact, err := vouchercms.Format{}.OpenRequest(raw)
	if err != nil {
		t.Fatal(err)
	}
	return artifact
}

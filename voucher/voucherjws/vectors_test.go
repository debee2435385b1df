package voucherjws_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/vectors"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/voucherjws"
)

// published is how many of the published artifacts have to open.
const published = 9

// anchors are the certificates that published signers chain to, where the set
// has them: its rows name none.
func anchors() map[string]string {
	return map[string]string{
		"jws-voucher-draft16/01-vr.jws.json":        "brski/jws-voucher-draft16/cert-ManufacturerCA.pem",
		"jws-voucher-draft16/02-vr.jws.json":        "brski/jws-voucher-draft16/cert-MySiteCA.pem",
		"jws-voucher-draft16/03-voucher.jws.json":   "brski/jws-voucher-draft16/cert-ManufacturerCA.pem",
		"rfc8366bis-jws-A4/01-voucher.jws.json":     "brski/rfc8995-appC/vendor-ca.crt.pem",
		"prm-draft23/02-vr.jws.json":                "brski/prm-draft23/04-pinned-domain-cert.der",
		"prm-draft23/04-voucher.jws.json (counter)": "brski/prm-draft23/04-pinned-domain-cert.der",
	}
}

// BRSKI-JWS-3-03: prm-draft23/04-voucher.jws.json with two signatures is among them.
// Every published artifact opens and verifies, and what is wrong is refused.
func TestPublishedArtifactsAreOpenedAndVerifiedOrRefusedAsTheirRowSays(t *testing.T) {
	count, findings := make(map[string]int), make(map[string]int)
	for _, row := range vectors.BRSKI(t) {
		if row.Type != "JWS" {
			continue
		}
		for _, file := range row.Files() {
			data := vectors.Read(t, file)
			a, err := openAny(t, file, data)
			switch {
			case row.Negative:
				if err == nil {
					t.Errorf("%s opens, and must not: %s", file, row.Notes)
				}
				count["negative refused"]++
			case !row.SigOK:
			case err != nil:
				t.Errorf("opening %s: %v", file, err)
			default:
				count["opened"]++
				count["signatures"] += 1 + len(a.Countersigners)
				if !bytes.Equal(a.Raw, data) {
					t.Errorf("opening %s: not the bytes that were received", file)
				}
				for _, f := range a.Findings {
					findings[f.ID]++
				}
				count["anchored"] += verified(t, row.File, a)
			}
		}
	}
	t.Logf("figures: published JWS artifacts: %d opened with %d signatures verified, %d signers verified to their anchor, %d negative refused",
		count["opened"], count["signatures"], count["anchored"], count["negative refused"])
	for _, id := range slices.Sorted(maps.Keys(findings)) {
		t.Logf("finding %s: %d artifacts", id, findings[id])
	}
	if count["opened"] < published || count["signatures"] < published+1 || count["anchored"] < len(anchors()) {
		t.Errorf("opened %d, with %d signatures, %d anchored; want at least %d, %d, %d",
			count["opened"], count["signatures"], count["anchored"], published, published+1, len(anchors()))
	}
}

// openAny opens a file as what its name says it is.
func openAny(t *testing.T, file string, data []byte) (a *voucher.Artifact, err error) {
	t.Helper()
	switch name := path.Base(file); {
	case strings.Contains(name, "agent-signed-data"):
		agents := vectors.Certificates(t, "brski/prm-draft23/02-agent-sign-cert0.der")
		_, a, err = voucherjws.OpenAgentSignedData(data, agents)
	case strings.Contains(name, "-voucher."):
		_, a, err = voucherjws.Format{}.OpenVoucher(data)
	default:
		_, a, err = voucherjws.Format{}.OpenRequest(data)
	}
	return a, err
}

// verified counts the signers that verify to their anchor.
func verified(t *testing.T, file string, a *voucher.Artifact) (n int) {
	t.Helper()
	check := func(key string, a *voucher.Artifact) {
		if anchors()[key] == "" {
			return
		}
		roots := x509.NewCertPool()
		at := a.Signer.NotBefore
		for _, c := range vectors.Certificates(t, anchors()[key]) {
			roots.AddCert(c)
			if c.NotBefore.After(at) {
				at = c.NotBefore
			}
		}
		if _, err := a.VerifySigner(roots, at.Add(time.Second)); err != nil {
			t.Errorf("%s: VerifySigner() = %v", key, err)
			return
		}
		n++
	}
	check(file, a)
	for _, c := range a.Countersigners {
		check(file+" (counter)", &voucher.Artifact{Signer: c, Certificates: a.Certificates})
	}
	return n
}

// BRSKI-8366BIS-6.3-01: the published registrar's request has the whole extension value; RFC 8995, Section 5.5: it
// has the pledge's inside, which opens too, and the agent's data inside that.
func TestPublishedRequestsOpenFromTheOutsideIn(t *testing.T) {
	open := func(data []byte) *voucher.Request {
		t.Helper()
		r, _, err := voucherjws.Format{}.OpenRequest(data)
		if err != nil {
			t.Fatalf("OpenRequest() = %v", err)
		}
		if err := voucher.CheckRequest(r); err != nil {
			t.Errorf("CheckRequest() = %v", err)
		}
		return r
	}
	classic := open(vectors.Read(t, "brski/jws-voucher-draft16/02-vr.jws.json"))
	inner := open(classic.PriorSignedVoucherRequest)
	if inner.SerialNumber != classic.SerialNumber || inner.Nonce != classic.Nonce || !bytes.HasPrefix(classic.IDevIDIssuer, []byte{4, 0x18, 0x30, 0x16, 0x80, 0x14}) {
		t.Errorf("registrar's request %+v does not go with the pledge's %+v", classic, inner)
	}
	agent := open(vectors.Read(t, "brski/prm-draft23/02-vr.jws.json"))
	pledge := open(agent.PriorSignedVoucherRequest)
	var agents []*x509.Certificate
	for _, der := range agent.AgentSignCert {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		agents = append(agents, c)
	}
	data, a, err := voucherjws.OpenAgentSignedData(pledge.AgentSignedData, agents)
	if err != nil || data.SerialNumber != pledge.SerialNumber || !a.Signer.Equal(agents[0]) {
		t.Errorf("OpenAgentSignedData() = %+v, %v; want the pledge's serial number, signed by the agent", data, err)
	}
}

// BRSKI-JWS-3.2-04: the published header of prm-draft23/03-voucher.jws.json has escaped slashes; and so has that of
// jws-voucher-draft16 when it is written so and signed again.
func TestPublishedHeadersWithEscapedSlashesAreRead(t *testing.T) {
	var e envelope
	if err := json.Unmarshal(vectors.Read(t, "brski/prm-draft23/03-voucher.jws.json"), &e); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(fromURL(t, e.Signatures[0].Protected), []byte(`\/`)) {
		t.Error("prm-draft23/03-voucher.jws.json has no escaped slash")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(pemBytes(t, "brski/jws-voucher-draft16/key-Manufacturer_Voucher_Signing_Key.pem"))
	key, ok := parsed.(*ecdsa.PrivateKey)
	if err != nil || !ok {
		t.Fatalf("the key is %T: %v", parsed, err)
	}
	cert := vectors.Certificates(t, "brski/jws-voucher-draft16/cert-Manufacturer_Voucher_Signing_Key.pem")[0]
	artifact := withHeader(t, &voucher.Signer{Key: key, Certificate: cert}, func(header string) string {
		return strings.ReplaceAll(header, "/", `\/`)
	})
	if _, a, err := (voucherjws.Format{}).OpenVoucher(artifact); err != nil || !a.Signer.Equal(cert) {
		t.Errorf("OpenVoucher(escaped slashes) = %v", err)
	}
}

// The data that an agent signs is not the pledge's to change, and a certificate that kid does not name is not asked.
func TestAgentSignedDataOfAnotherIsRefused(t *testing.T) {
	data := vectors.Read(t, "brski/prm-draft23/01-agent-signed-data.jws.json")
	agents := vectors.Certificates(t, "brski/prm-draft23/02-agent-sign-cert0.der")
	others := vectors.Certificates(t, "brski/prm-draft23/04-sig1-x5c0-DomainRegistrar.pem")
	if _, _, err := voucherjws.OpenAgentSignedData(data, others); err == nil {
		t.Error("OpenAgentSignedData(another's certificate) = nil, want an error")
	}
	changed := bytes.Replace(data, []byte(`"signature":"L`), []byte(`"signature":"M`), 1)
	if bytes.Equal(changed, data) {
		changed = bytes.Replace(data, []byte(`"signature": "L`), []byte(`"signature": "M`), 1)
	}
	if _, _, err := voucherjws.OpenAgentSignedData(changed, agents); err == nil || bytes.Equal(changed, data) {
		t.Errorf("OpenAgentSignedData(changed) = %v, want an error", err)
	}
	refusedAs(t, "agent-signed-data as an artifact", data, voucherjws.ErrNoSignerCertificate)
}

func pemBytes(t *testing.T, name string) []byte {
	t.Helper()
	block, _ := pem.Decode(vectors.Read(t, name))
	if block == nil {
		t.Fatalf("%s is not PEM", name)
	}
	return block.Bytes
}

package vouchercose_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/vectors"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercose"
)

// BRSKI-CBRSKI-9.2-02 (signatures in DER, of the vanderstok set, are refused), BRSKI-CBRSKI-9.2-01: every
// published artifact opens and verifies, and what is wrong is refused for what is wrong with it.
func TestPublishedArtifactsAreOpenedAndVerifiedOrRefusedAsTheirRowSays(t *testing.T) {
	count := make(map[string]int)
	findings := make(map[string]int)
	for _, row := range vectors.BRSKI(t) {
		if row.Type != "COSE" {
			continue
		}
		data := vectors.Read(t, row.Files()[0])
		switch {
		case row.Negative:
			count["negative refused"] += refused(t, row, data)
		case row.SigOK:
			a := openAny(t, row, data)
			if a == nil {
				continue
			}
			count["opened"]++
			for _, f := range a.Findings {
				findings[f.ID]++
			}
			if strings.HasPrefix(row.File, "cbrski-draft31/") && chains(t, row, a) {
				count["verified"]++
			}
		default:
			count["signer unknown"]++ // neither good nor bad: nobody has its signer's certificate
			if _, _, err := (vouchercose.Format{}).OpenVoucher(data); !errors.Is(err, voucher.ErrSigned) {
				t.Errorf("%s: OpenVoucher() = %v, want %v", row.File, err, voucher.ErrSigned)
			}
		}
	}
	t.Logf("figures: published COSE artifacts: %d opened with the signature verified, %d of them to their anchor, %d negative refused, %d without a known signer refused",
		count["opened"], count["verified"], count["negative refused"], count["signer unknown"])
	for _, id := range slices.Sorted(maps.Keys(findings)) {
		t.Logf("finding %s: %d artifacts", id, findings[id])
	}
	if count["opened"] != 12 || count["verified"] != 4 || count["negative refused"] != 20 {
		t.Errorf("opened, verified, refused = %v, want 12, 4, 20", count)
	}
}

// openAny opens a file as what its row says it is: a voucher or a request.
func openAny(t *testing.T, row vectors.Row, data []byte) *voucher.Artifact {
	t.Helper()
	format := vouchercose.Format{Known: known(t, row)}
	var a *voucher.Artifact
	var err error
	if strings.Contains(row.What, "request") || strings.Contains(row.What, "VR") {
		_, a, err = format.OpenRequest(data)
	} else {
		_, a, err = format.OpenVoucher(data)
	}
	if err != nil {
		t.Errorf("opening %s: %v", row.File, err)
		return nil
	}
	if !bytes.Equal(a.Raw, data) || a.Signer == nil {
		t.Errorf("opening %s: artifact without its bytes or signer", row.File)
	}
	return a
}

// known returns the certificate of the signer, which few have inside.
func known(t *testing.T, row vectors.Row) []*x509.Certificate {
	t.Helper()
	for _, name := range []string{row.TrustAnchor, row.Signer} {
		if strings.HasSuffix(name, ".pem") || strings.HasSuffix(name, ".der") {
			return vectors.Certificates(t, "brski/"+name)
		}
	}
	return nil
}

// chains verifies the signer with the CAs of the draft, one second after the latest notBefore of them all.
func chains(t *testing.T, row vectors.Row, a *voucher.Artifact) bool {
	t.Helper()
	roots := x509.NewCertPool()
	at := a.Signer.NotBefore
	for _, name := range []string{"masa_ca", "domain_ca"} {
		for _, c := range vectors.Certificates(t, "brski/cbrski-draft31/"+name+".crt.der") {
			roots.AddCert(c)
			if c.NotBefore.After(at) {
				at = c.NotBefore
			}
		}
	}
	if _, err := a.VerifySigner(roots, at.Add(time.Second)); err != nil {
		t.Errorf("%s: VerifySigner() = %v", row.File, err)
		return false
	}
	return true
}

// reason reads from a row why it is to be refused.
func reason(row vectors.Row) error {
	switch {
	case strings.HasSuffix(row.File, "fountain--vr_00-D0-E5-01-00-09.cose"):
		return vouchercose.ErrTrailingData // a line feed, besides what its row says
	case strings.Contains(row.Notes, "payload is a map"):
		return vouchercose.ErrPayload
	case strings.Contains(row.Notes, "pre-allocation SID"):
		return vouchercose.ErrNoAlgorithm // and the SIDs, see below
	case strings.Contains(row.Notes, "container ietf-request-voucher"):
		return voucher.ErrRoot
	default:
		return vouchercose.ErrUnsupportedAlgorithm // ES256K, with signatures in DER
	}
}

func refused(t *testing.T, row vectors.Row, data []byte) int {
	t.Helper()
	format := vouchercose.Format{Known: known(t, row)}
	_, _, err := format.OpenVoucher(data)
	_, _, requestErr := format.OpenRequest(data)
	if want := reason(row); !errors.Is(err, want) || !errors.Is(requestErr, want) {
		t.Errorf("opening %s = %v, %v, want %v", row.File, err, requestErr, want)
		return 0
	}
	if strings.Contains(row.Notes, "pre-allocation SID") {
		payload := data[bytes.Index(data, []byte{0xa1, 0x1a, 0x00, 0x0f, 0x46}):]
		payload = payload[:len(payload)-66] // the signature and its head
		if _, err := format.PayloadJSON(payload); !errors.Is(err, voucher.ErrRoot) {
			t.Errorf("the payload of %s = %v, want %v", row.File, err, voucher.ErrRoot)
		}
	}
	t.Logf("%s is refused: %v", row.File, requestErr)
	return 1
}

package vouchercms_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/vectors"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// opened is how many of the published artifacts have to open.
const opened = 35

// withoutSerialNumber are published, well signed and to be refused.
var withoutSerialNumber = []string{
	"minerva/fountain--product_119_siemens-bt-voucher-request1.cms.der",
	"minerva/chariwt--voucher_request-bt01.cms.der",
}

// BRSKI-8366BIS-7.1-05: those of version 1 among them.
// Every published artifact opens and verifies, and what is wrong is refused.
func TestPublishedArtifactsAreOpenedAndVerifiedOrRefusedAsTheirRowSays(t *testing.T) {
	count := make(map[string]int)
	findings := make(map[string]int)
	for _, row := range vectors.BRSKI(t) {
		if row.Type != "CMS" {
			continue
		}
		for _, file := range row.Files() {
			switch {
			case slices.Contains(withoutSerialNumber, row.File):
				count["without serial-number refused"] += refusedForSerialNumber(t, file)
			case row.Negative:
				count["negative refused"] += refused(t, file)
			case row.SigOK:
				a := openAny(t, row, file)
				if a == nil {
					continue
				}
				count["opened"]++
				for _, f := range a.Findings {
					findings[f.ID]++
				}
				if row.ChainOK && verifies(t, row, a) {
					count["verified"]++
				}
			}
		}
	}
	text := fmt.Sprintf("figures: published CMS artifacts: %d opened, %d verified to their anchor, %d without serial-number refused, %d negative refused",
		count["opened"], count["verified"], count["without serial-number refused"], count["negative refused"])
	t.Log(text)
	for _, id := range slices.Sorted(maps.Keys(findings)) {
		t.Logf("finding %s: %d artifacts", id, findings[id])
	}
	if count["opened"] < opened {
		t.Errorf("opened %d artifacts, want at least %d", count["opened"], opened)
	}
	if count["without serial-number refused"] != len(withoutSerialNumber) {
		t.Errorf("refused %d requests without serial-number, want %d", count["without serial-number refused"], len(withoutSerialNumber))
	}
}

// openAny opens a file as what its row says it is: a voucher or a request.
func openAny(t *testing.T, row vectors.Row, file string) *voucher.Artifact {
	t.Helper()
	data := vectors.Read(t, file)
	var a *voucher.Artifact
	var err error
	if isVoucher(row) {
		_, a, err = vouchercms.Format{Secp256k1: true}.OpenVoucher(data)
	} else {
		_, a, err = vouchercms.Format{Secp256k1: true}.OpenRequest(data)
	}
	if err != nil {
		t.Errorf("opening %s: %v", file, err)
		return nil
	}
	if !bytes.Equal(a.Raw, data) || a.Signer == nil {
		t.Errorf("opening %s: artifact without its bytes or signer", file)
	}
	return a
}

// isVoucher reads the column "what": minerva's rows give the container.
func isVoucher(row vectors.Row) bool {
	return strings.HasPrefix(row.What, "ietf-voucher:") || strings.HasPrefix(row.What, "voucher") &&
		!strings.Contains(row.What, "request")
}

// verifies checks the signer's chain one second after the latest notBefore in it.
func verifies(t *testing.T, row vectors.Row, a *voucher.Artifact) bool {
	t.Helper()
	anchors := vectors.Certificates(t, "brski/"+row.TrustAnchor)
	roots := x509.NewCertPool()
	for _, c := range anchors {
		roots.AddCert(c)
	}
	at := latestNotBefore(a.Signer, slices.Concat(a.Certificates, anchors)).Add(time.Second)
	if _, err := a.VerifySigner(roots, at); err != nil {
		t.Errorf("%s: VerifySigner(%s, %s) = %v", row.File, row.TrustAnchor, at.Format(time.RFC3339), err)
		return false
	}
	return true
}

// latestNotBefore follows the issuers of leaf among certs.
func latestNotBefore(leaf *x509.Certificate, certs []*x509.Certificate) time.Time {
	latest := leaf.NotBefore
	for i := 0; i < len(certs); i++ {
		issuer := certs[i]
		if !bytes.Equal(issuer.RawSubject, leaf.RawIssuer) || issuer.Equal(leaf) ||
			issuer.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature) != nil {
			continue
		}
		if issuer.NotBefore.After(latest) {
			latest = issuer.NotBefore
		}
		certs = slices.Delete(slices.Clone(certs), i, i+1) // a cycle ends so
		leaf, i = issuer, -1
	}
	return latest
}

func refusedForSerialNumber(t *testing.T, file string) int {
	t.Helper()
	_, _, err := vouchercms.Format{Secp256k1: true}.OpenRequest(vectors.Read(t, file))
	var leaf *voucher.LeafError
	if !errors.Is(err, voucher.ErrMissingLeaf) || !errors.As(err, &leaf) || leaf.Leaf != "serial-number" {
		t.Errorf("OpenRequest(%s) = %v, want a missing serial-number", file, err)
		return 0
	}
	return 1
}

func refused(t *testing.T, file string) int {
	t.Helper()
	data := vectors.Read(t, file)
	_, _, err := vouchercms.Format{Secp256k1: true}.OpenVoucher(data)
	_, _, requestErr := vouchercms.Format{Secp256k1: true}.OpenRequest(data)
	if err == nil || requestErr == nil {
		t.Errorf("opening %s = %v, %v, want errors", file, err, requestErr)
		return 0
	}
	t.Logf("%s is refused: %v", file, requestErr)
	return 1
}

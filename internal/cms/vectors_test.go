package cms_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/cms"
)

// vectors returns the folder of published artifacts, or skips.
func vectors(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("BRISKEST_VECTORS")
	if dir == "" {
		t.Skip("BRISKEST_VECTORS is not set: published artifacts not read")
	}
	return dir
}

type vector struct {
	File     string `json:"file"`
	Type     string `json:"type"`
	Negative bool   `json:"negative"`
	SigOK    bool   `json:"sig_ok"`
}

func TestPublishedVouchersOpenAndVerify(t *testing.T) {
	dir := filepath.Join(vectors(t), "brski")
	index, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var rows []vector
	if err := json.Unmarshal(index, &rows); err != nil {
		t.Fatal(err)
	}
	good, verified, refused := 0, 0, 0
	for _, row := range rows {
		if row.Type != "CMS" {
			continue
		}
		if row.SigOK && !row.Negative {
			good++
		}
		for name := range strings.SplitSeq(row.File, ", ") {
			path := filepath.Join(dir, filepath.FromSlash(name))
			if _, err := os.Stat(path); err != nil {
				path = filepath.Join(dir, filepath.Dir(filepath.FromSlash(row.File)), name)
			}
			data, err := os.ReadFile(path)
			if err != nil {
				t.Error(err)
				continue
			}
			err = openAndVerify(data)
			switch {
			case unsupportedVectors()[name] != "" && err != nil:
				t.Logf("%s is not verified (%s): %v", name, unsupportedVectors()[name], err)
			case row.SigOK && err != nil:
				t.Errorf("%s: %v, want it to verify", name, err)
			case row.SigOK:
				verified++
			case row.Negative && err == nil:
				t.Errorf("%s verifies, want it refused", name)
			case row.Negative:
				refused++
				t.Logf("%s is refused: %v", name, err)
			}
		}
	}
	t.Logf("%d of %d published artifacts open and verify, %d negative ones are refused", verified, good, refused)
	if want := good - len(unsupportedVectors()); verified < want || verified < 35 {
		t.Errorf("%d artifacts verify, want %d, and at least 35", verified, want)
	}
}

// unsupportedVectors are artifacts that verify elsewhere and not here, and why.
func unsupportedVectors() map[string]string {
	return map[string]string{
		"minerva/highway--parboiled_vr-00-D0-E5-02-00-20.cms.der": "its signer's key is on secp256k1, which crypto/x509 does not read",
	}
}

// What was captured on the wire between other implementations verifies as well.
func TestCapturedVouchersOpenAndVerify(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(vectors(t), "captures", "*", "*requestvoucher*.der"))
	if err != nil {
		t.Fatal(err)
	}
	verified := 0
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := openAndVerify(data); err != nil {
			t.Logf("%s: %v", path, err)
			continue
		}
		verified++
	}
	t.Logf("%d of %d captured artifacts open and verify", verified, len(files))
	if verified == 0 {
		t.Error("no captured artifact verifies")
	}
}

// RFC 7030, Appendix A, and the constructed CMC messages.
func TestPublishedESTMessagesOpen(t *testing.T) {
	dir := filepath.Join(vectors(t), "est")
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for name, want := range map[string]int{
		"rfc7030/a1-cacerts-response.der": 4, "rfc7030/a3-simpleenroll-response.der": 1, "rfc7030/a4-serverkeygen-response-part2-certs.der": 1,
	} {
		certs, err := cms.ParseCertsOnly(read(name))
		if err != nil || len(certs) != want {
			t.Errorf("ParseCertsOnly(%s) = %d certificates, %v, want %d", name, len(certs), err, want)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "constructed", "*cmc-*.signed.der"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no CMC messages: %v", err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		err = openAndVerify(data)
		if bad := strings.Contains(path, "badsig"); bad != (err != nil) {
			t.Errorf("%s: %v", filepath.Base(path), err)
		}
	}
	t.Logf("%d CMC messages open as they should", len(files))
}

// openAndVerify takes every signer by the certificates inside.
func openAndVerify(data []byte) error {
	sd, err := cms.ParseSignedData(data)
	if err != nil {
		return err
	}
	if len(sd.Signers) == 0 {
		return errors.New("no signers")
	}
	for _, si := range sd.Signers {
		cert, err := sd.SignerCertificate(si)
		if err != nil {
			return err
		}
		if err := sd.Verify(si, cert); err != nil {
			return err
		}
	}
	return nil
}

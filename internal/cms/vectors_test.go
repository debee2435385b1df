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
	if verified < 35 {
		t.Errorf("%d artifacts verify, want at least 35", verified)
	}
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

package cmc_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/cmc"
	"github.com/briskest/briskest/internal/cmstest"
)

// seeds adds the constructed messages whose names match, where they are, and the short inputs of R6.
func seeds(f *testing.F, pattern string) {
	f.Helper()
	for _, text := range strings.Fields("1f80 1f05 3081 308401 308206 5f4d 3000 30083000300030003000") {
		b, err := hex.DecodeString(text)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	files, err := filepath.Glob(filepath.Join(os.Getenv("BRISKEST_VECTORS"), "est", pattern))
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
}

// everything is a PKIData with most of what there is.
func everything(f *testing.F) *cmc.PKIData {
	key := cmstest.New(f, "P-256").Key
	tcr := pkcs10(f, key, "pledge")
	return &cmc.PKIData{
		Controls: []cmc.Control{
			{ID: 11, Value: &cmc.TransactionID{Number: big.NewInt(5)}}, {ID: 12, Value: cmc.ControlsProcessed{{1}, {2, 3}}},
			{ID: 13, Value: &cmc.RevokeRequest{RawIssuer: seq(), SerialNumber: big.NewInt(5), Passphrase: []byte("p"), Comment: "c"}},
			{ID: 14, Value: &cmc.ModCertTemplate{PKIData: cmc.BodyPartPath{0}, Requests: []cmc.BodyPartID{1}, Template: &cmc.CertTemplate{RawSubject: seq()}}},
		},
		Requests: []cmc.Request{tcr, crmf(f, key, tcr.PKCS10)},
	}
}

// checkError fails for an error that a server could not answer with.
func checkError(t *testing.T, err error) {
	t.Helper()
	var e *cmc.Error
	if !errors.As(err, &e) || len(e.Bodies) == 0 {
		t.Fatalf("error %v is no *cmc.Error with bodies", err)
	}
	if _, err := (&cmc.PKIResponse{Controls: []cmc.Control{{ID: 1, Value: e.StatusInfo()}}}).Marshal(); err != nil {
		t.Fatalf("the status of %v cannot be written: %v", e, err)
	}
}

// What is read can be written, and is then the same bytes, but for the order of sets and empty texts.
func FuzzPKIData(f *testing.F) {
	seeds(f, "constructed/*cmc-pkidata*.content.der")
	der, err := everything(f).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := cmc.ParsePKIData(data)
		if err != nil {
			checkError(t, err)
			return
		}
		for i := range d.Requests {
			r := &d.Requests[i]
			for _, err := range []error{second(r.Ask()), r.VerifyPOP(), second(r.ChangeSubjectName())} {
				if err != nil {
					checkError(t, err)
				}
			}
			if _, _, err := r.POPLink(); err != nil {
				checkError(t, err)
			}
			r.SubjectKeyID()
		}
		d.Unknown()
		requests, err := d.MarshalRequests()
		if err != nil || !bytes.Equal(requests, d.RawRequests) {
			t.Fatalf("MarshalRequests = %x, %v, want %x", requests, err, d.RawRequests)
		}
		again, err := d.Marshal()
		if err != nil {
			t.Fatalf("Marshal of what was read: %v", err)
		}
		d, err = cmc.ParsePKIData(again)
		if err != nil {
			t.Fatalf("ParsePKIData of what was written: %v", err)
		}
		if third, err := d.Marshal(); err != nil || !bytes.Equal(third, again) {
			t.Fatalf("Marshal = %x, %v, then %x", again, err, third)
		}
	})
}

func FuzzPKIResponse(f *testing.F) {
	seeds(f, "constructed/cmc-pkiresponse*.content.der")
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := cmc.ParsePKIResponse(data)
		if err != nil {
			checkError(t, err)
			return
		}
		again, err := r.Marshal()
		if err != nil {
			t.Fatalf("Marshal of what was read: %v", err)
		}
		if _, err := cmc.ParsePKIResponse(again); err != nil {
			t.Fatalf("ParsePKIResponse of what was written: %v", err)
		}
	})
}

func FuzzOpenRequest(f *testing.F) {
	seeds(f, "constructed/*cmc-pkidata*.signed.der")
	seeds(f, "cmc/*.der")
	f.Add(sign(f, everything(f), cmstest.New(f, "Ed25519")))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := cmc.OpenRequest(data, nil)
		if err != nil {
			checkError(t, err)
			return
		}
		for i := range r.Data.Messages {
			if _, err := r.OpenNested(&r.Data.Messages[i], nil); err != nil {
				checkError(t, err)
			}
		}
		for _, s := range r.Signers {
			if (s.Certificate == nil) == (s.Request == nil) {
				t.Fatalf("signer %+v is neither a certificate nor a request", s)
			}
		}
	})
}

func FuzzOpenResponse(f *testing.F) {
	seeds(f, "constructed/cmc-pkiresponse*.signed.der")
	seeds(f, "rfc7030/*.der")
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := cmc.OpenResponse(data, nil); err != nil {
			checkError(t, err)
		} else if r.Simple != (r.Data == nil) {
			t.Fatalf("response %+v", r)
		}
	})
}

func FuzzKindOf(f *testing.F) {
	f.Add(cmc.MediaTypeFullRequest)
	f.Fuzz(func(t *testing.T, contentType string) {
		if _, err := cmc.KindOf(contentType); err != nil && !errors.Is(err, cmc.ErrMediaType) {
			t.Fatalf("KindOf(%q) = %v, want ErrMediaType", contentType, err)
		}
	})
}

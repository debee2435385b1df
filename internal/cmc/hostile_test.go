package cmc_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/cmc"
	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/cmstest"
)

// entries are all functions that take bytes of a peer.
func entries() map[string]func([]byte) error {
	return map[string]func([]byte) error{
		"OpenRequest":      func(b []byte) error { _, err := cmc.OpenRequest(b, nil); return err },
		"OpenResponse":     func(b []byte) error { _, err := cmc.OpenResponse(b, nil); return err },
		"ParsePKIData":     func(b []byte) error { _, err := cmc.ParsePKIData(b); return err },
		"ParsePKIResponse": func(b []byte) error { _, err := cmc.ParsePKIResponse(b); return err },
		"NewPKCS10":        func(b []byte) error { _, err := cmc.NewPKCS10(1, b); return err },
		"Envelop":          func(b []byte) error { _, err := cmc.Envelop(b, nil, nil); return err },
		"OpenNested": func(b []byte) error {
			_, err := new(cmc.FullRequest).OpenNested(&cmc.Message{ID: 1, ContentInfo: b}, nil)
			return err
		},
	}
}

// R6: the six short inputs that made another reader panic are errors on every entry, alone and in the places where a part of
// a message is. R5 and R7, SignedData and EnvelopedData without content, are in TestOtherNestingIsNoRequest and
// TestSimpleResponseIsABagWithoutSigners.
func TestSixShortInputsAreErrorsEverywhere(t *testing.T) {
	signer := cmstest.New(t, "P-256")
	tried := 0
	for _, text := range strings.Fields("1f80 1f05 3081 308401 308206 5f4d") {
		short, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		for place, der := range map[string][]byte{
			"alone": short, "a control": pkiData(short, nil), "a request": pkiData(nil, short), "a CMS message": seq(seq(), seq(), seq(short), seq()),
			"another message": seq(seq(), seq(), seq(), seq(short)),
			"a value":         pkiData(control(7, 25, short), nil), "an unknown value": pkiData(control(7, 99, short), nil),
			"a CSR": pkiData(nil, cmstest.Element(0xa0, id(1), short)), "a template": pkiData(nil, crmfBytes(short)),
			"a proof": pkiData(nil, crmfBytes(seq(subject()), short)),
			"content": message(t, short, cmstest.Signer{Identity: signer}), "signed content": message(t, pkiData(short, nil), cmstest.Signer{Identity: signer}),
			"a ContentInfo": seq(cmstest.OID(cms.OIDSignedData()), cmstest.Element(0xa0, short)),
		} {
			for name, entry := range entries() {
				tried++
				err := entry(der)
				var e *cmc.Error
				if err == nil || !errors.As(err, &e) && name != "NewPKCS10" && name != "Envelop" {
					t.Errorf("%s(%s as %s) = %v, want a *cmc.Error", name, text, place, err)
				}
			}
		}
	}
	t.Logf("figures: %d calls with short inputs, all refused", tried)
}

// What a peer can send costs little, deep or wide: each input is refused, or read within the same bounds.
func TestHostileMessagesAreCheap(t *testing.T) {
	const maxBytes, maxTime = 4 << 20, 2 * time.Second
	signer := cmstest.New(t, "P-256")
	nonce := control(7, 99, []byte{5, 0})
	deep := []byte{5, 0}
	for range 2000 {
		deep = seq(deep)
	}
	million := bytes.Repeat([]byte{5, 0}, 400_000)
	request := csr(t, signer.Key, "pledge")
	requests := bytes.Repeat(cmstest.Element(0xa0, id(1), request), 900_000/len(request))
	for title, der := range map[string][]byte{
		"deep control":               pkiData(control(7, 99, deep), nil),
		"30 80 repeated":             bytes.Repeat([]byte{0x30, 0x80}, 1<<19),
		"a million bytes of control": pkiData(bytes.Repeat(nonce, 900_000/len(nonce)), nil),
		"400,000 NULLs as controls":  pkiData(million, nil),
		"400,000 values":             pkiData(control(7, 99, million), nil),
		"300,000 body parts":         pkiData(control(7, 28, seq(bytes.Repeat([]byte{2, 1, 1}, 300_000))), nil),
		"400,000 extensions":         pkiData(control(7, 8, seq([]byte{2, 1, 0}, seq(), seq(million))), nil),
		"requests of one ID":         pkiData(nil, requests),
		"400,000 template fields":    pkiData(nil, crmfBytes(seq(million))),
		"a nonce of a megabyte":      pkiData(control(7, 6, cmstest.Element(4, make([]byte, 900_000))), nil),
		"an integer of a megabyte":   pkiData(control(7, 5, cmstest.Element(2, bytes.Repeat([]byte{1}, 900_000))), nil),
		"just over the largest size": seq(make([]byte, cmc.MaxSize)),
		"four megabytes":             make([]byte, 4<<20),
	} {
		for name, der := range map[string][]byte{"ParsePKIData": der, "OpenRequest": message(t, der, cmstest.Signer{Identity: signer})} {
			entry := entries()[name]
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			err := entry(der)
			elapsed := time.Since(start)
			runtime.ReadMemStats(&after)
			var e *cmc.Error
			if !errors.As(err, &e) {
				t.Errorf("%s(%s) = %v, want a *cmc.Error", name, title, err)
			} else if len(e.Bodies) > cmc.MaxBodyParts {
				t.Errorf("%s(%s) names %d parts", name, title, len(e.Bodies))
			}
			allocated := after.TotalAlloc - before.TotalAlloc
			t.Logf("figures: %-28s %-12s %9d bytes %12s %10d B", title, name, len(der), elapsed.Round(time.Microsecond), allocated)
			if allocated > maxBytes || elapsed > maxTime {
				t.Errorf("%s(%s) costs %d bytes and %s", name, title, allocated, elapsed)
			}
		}
	}
}

// The dearest message within the limits: as many requests as fit, all of which the signer's key is looked for in.
func TestTheDearestAcceptedMessageIsCheap(t *testing.T) {
	signer := cmstest.New(t, "P-256")
	d := &cmc.PKIData{}
	der := csr(t, signer.Key, "pledge", keyIDExtension([]byte("of all")))
	for i := range cmc.MaxBodyParts {
		r, err := cmc.NewPKCS10(cmc.BodyPartID(i+1), der)
		if err != nil {
			t.Fatal(err)
		}
		d.Requests = append(d.Requests, r)
	}
	signed, err := cmc.SignRequest(d, &cmc.Signing{Key: signer.Key, SubjectKeyID: []byte("of all")})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	f := open(t, signed, nil)
	elapsed := time.Since(start)
	t.Logf("figures: %d requests in %d bytes opened in %s", len(f.Data.Requests), len(signed), elapsed.Round(time.Microsecond))
	if elapsed > 2*time.Second {
		t.Errorf("OpenRequest takes %s", elapsed)
	}
	d.Controls = []cmc.Control{{ID: 9999, Value: cmc.SenderNonce("one too many")}}
	if _, err := d.Marshal(); !errors.Is(err, cmc.ErrBuild) {
		t.Errorf("Marshal of %d parts = %v, want ErrBuild", cmc.MaxBodyParts+1, err)
	}
}

package masa_test

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
	"github.com/briskest/briskest/voucher/voucherjws"
)

// BRSKI-8995-9.1.1-01: the service answers under the URL that its IDevIDs name, in any form of it,
// and signs there.
func TestMASAAnswersUnderTheURLOfItsIDevIDs(t *testing.T) {
	for _, form := range []string{"%s", "https://%s", "https://%s/.well-known/brski"} {
		w := newWorld(t, nil)
		client := w.serve()
		served, err := url.Parse(client.URL)
		if err != nil {
			t.Fatal(err)
		}
		w.idevid = w.idevidCA.IDevID(t, serial, fmt.Sprintf(form, served.Host))
		if client.URL, err = voucher.MASAURL(w.idevid.Certificate); err != nil {
			t.Fatal(err)
		}
		got, err := client.RequestVoucher(t.Context(), &brski.MASARequest{
			MediaType: vouchercms.MediaType, Raw: w.ask(w.mine, "0123456789abcdef").bytes(t), Accept: []string{vouchercms.MediaType},
		})
		if err != nil {
			t.Fatalf("RequestVoucher at %s: %v", client.URL, err)
		}
		_, artifact, err := vouchercms.Format{}.OpenVoucher(got.Raw)
		if err != nil || !artifact.Signer.Equal(w.signer.Certificate) {
			t.Errorf("voucher from %s: %v; want one signed with the product's key", client.URL, err)
		}
	}
}

type brokenKey struct{ crypto.Signer }

func (brokenKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("the token is gone")
}

func TestSelfTestNamesTheKeyThatDoesNotSign(t *testing.T) {
	w := unstarted(t, func(s *masa.Settings, p *masa.Product) {
		s.Formats = append(s.Formats, voucherjws.Format{})
		other := testpki.NewRoot(t, "batch 7")
		p.DeviceSigners = []masa.DeviceSigner{{Signer: signerOf(other), Batches: []string{"7"}}}
	})
	if err := w.settings.CheckSigners(t.Context(), w.at); err != nil {
		t.Errorf("CheckSigners: %v", err)
	}
	if err := w.settings.CheckSigners(t.Context(), w.at.AddDate(100, 0, 0)); err == nil {
		t.Error("CheckSigners took keys whose certificates have expired")
	}
	signer := w.settings.Products["widget"].DeviceSigners[0].Signer
	signer.Key = brokenKey{signer.Key}
	err := w.settings.CheckSigners(t.Context(), w.at)
	if err == nil || !strings.Contains(err.Error(), "batch 7") || !strings.Contains(err.Error(), "token is gone") {
		t.Errorf("CheckSigners: error %v, want one that names the key", err)
	}
}

// BRSKI-8995-9-01: a nonceless voucher serves without the MASA: what it needs
// to be believed is in it and in the device, whatever the time of day.
func TestNoncelessVoucherIsBelievedAfterTheMASAHasGone(t *testing.T) {
	w := newWorld(t, func(_ *masa.Settings, p *masa.Product) { p.AllowNonceless, p.NoncelessLifetime = true, 30*24*time.Hour })
	w.own(w.mine)
	a := w.ask(w.mine, "")
	a.idevid = nil
	got, err := w.service.AnswerCarried(t.Context(), &masa.CarriedRequest{MediaType: vouchercms.MediaType, Raw: a.bytes(t), By: "test"})
	if err != nil {
		t.Fatal(err)
	}
	w.service.Close()
	later := w.at.AddDate(0, 0, 29)
	v, artifact, err := vouchercms.Format{StrictRFC8366: true}.OpenVoucher(got.Voucher)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := artifact.VerifySigner(w.signer.Pool(), later); err != nil {
		t.Errorf("the anchor in the device does not believe it: %v", err)
	}
	if v.Nonce != "" || v.SerialNumber != serial || !later.Before(v.ExpiresOn) {
		t.Errorf("voucher = %+v; want one without nonce, for the device, that is good for 30 days", v)
	}
	if err := w.mine.chains(v.PinnedDomainCert, later); err != nil {
		t.Errorf("the owner's registrar does not chain to what is pinned: %v", err)
	}
	if err := w.theirs.chains(v.PinnedDomainCert, later); err == nil {
		t.Error("another registrar chains to what is pinned")
	}
}

// chains tells whether a registrar's certificate chains to the one pinned.
func (d *domain) chains(pinned []byte, at time.Time) error {
	root, err := x509.ParseCertificate(pinned)
	if err != nil {
		return err
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(root)
	for _, c := range d.registrar.Chain {
		between.AddCert(c)
	}
	_, err = d.registrar.Certificate.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	return err
}

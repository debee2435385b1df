package brskipledge_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"testing"

	"github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/brskipledge"
	"github.com/briskest/briskest/conformance/conformancetest"
	"github.com/briskest/briskest/conformance/unkind"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
	"github.com/briskest/briskest/voucher/voucherjws"
)

// target is a pledge that is started in this process.
func target(t testing.TB, start func(ctx context.Context, p *unkind.Play) error) *brskipledge.Target {
	t.Helper()
	return &brskipledge.Target{House: unkind.House{Dir: t.TempDir(), Start: func(ctx context.Context, p *unkind.Play) (*unkind.Outcome, error) {
		if err := start(ctx, p); err != nil {
			return &unkind.Outcome{Known: true, Output: err.Error()}, nil
		}
		return &unkind.Outcome{Known: true, Took: true}, nil
	}}}
}

// device is what a pledge is handed.
func device(t testing.TB, p *unkind.Play) (idevid tls.Certificate, anchors *x509.CertPool) {
	t.Helper()
	idevid, err := tls.LoadX509KeyPair(p.Environment["BRISKEST_IDEVID"], p.Environment["BRISKEST_IDEVID_KEY"])
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(p.Environment["BRISKEST_ANCHOR"])
	if err != nil {
		t.Fatal(err)
	}
	anchors = x509.NewCertPool()
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		anchors.AddCert(cert)
	}
	return idevid, anchors
}

// ours is the pledge of the library.
func ours(t testing.TB, format voucher.Format) func(context.Context, *unkind.Play) error {
	return func(ctx context.Context, p *unkind.Play) error {
		idevid, anchors := device(t, p)
		d, err := pledge.New(pledge.Config{
			IDevID: idevid, Anchors: anchors, RegistrarURL: p.Environment["BRISKEST_URL"], Format: format, State: pledge.Dir(p.Environment["BRISKEST_STATE"]),
		})
		if err != nil {
			return err
		}
		_, err = d.Onboard(ctx)
		return err
	}
}

func TestEveryCheckPassesAgainstThePledgeOfTheLibrary(t *testing.T) {
	t.Parallel()
	conformancetest.Passes(t, target(t, ours(t, vouchercms.Format{})), brskipledge.Checks())
}

func TestChecksOfVouchersPassAgainstAPledgeThatSpeaksJWS(t *testing.T) {
	t.Parallel()
	checks, err := conformance.Select(brskipledge.Checks(), []string{"RFC8995-5-P-1", "RFC8995-2.6.1", "RFC8995-5.6.1", "RFC8366bis-7.1", "RFC8366bis-6.2"})
	if err != nil {
		t.Fatal(err)
	}
	conformancetest.Passes(t, target(t, ours(t, voucherjws.Format{})), checks, "RFC8995-2.6.1-P-4", "RFC8366bis-7.1-P-1")
}

package brskipledge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/voucher"
)

// requests: what a voucher-request says.
func requests() []check {
	says := func(id string, level conformance.Level, text, row string, judge func(*run, *request) error) check {
		return scene(id, level, text, rows(row), script{}, func(r *run) error {
			opened, err := r.opened()
			if err != nil {
				return err
			}
			return judge(r, opened)
		})
	}
	return slices.Concat(
		in("RFC 8995, Section 5.2",
			scene("RFC8995-5.2-P-1", must, "A voucher-request is posted to /.well-known/brski/requestvoucher, signed, and labelled as what it is",
				rows("BRSKI-8995-5.2-02"), script{}, postsRequest),
			says("RFC8995-5.2-P-2", must, "The voucher-request is signed with the key of the IDevID, which is the certificate of the TLS connection",
				"BRSKI-8995-5.2-02", signedByIDevID),
			scene("RFC8995-5.2-P-3", should, "Accept names the type of voucher that is wanted", rows("BRSKI-8995-5.2-04"), script{}, accepts),
			says("RFC8995-5.2-P-4", must, "The voucher-request has a nonce of 8 to 32 bytes", "BRSKI-8995-5.2-05", hasNonce),
			check{
				ID: "RFC8995-5.2-P-5", Level: must, Text: "Each attempt has a nonce of its own", Requirements: rows("BRSKI-8995-5.2-05"),
				Run: newNonces,
			},
			says("RFC8995-5.2-P-6", must, "The assertion of the voucher-request is \"proximity\"", "BRSKI-8995-5.2-06", func(_ *run, q *request) error {
				if q.Assertion != voucher.Proximity {
					return fmt.Errorf("assertion is %q", q.Assertion)
				}
				return nil
			}),
			says("RFC8995-5.2-P-7", must, "proximity-registrar-cert is the certificate that the registrar showed in the TLS handshake", "BRSKI-8995-5.2-06", namesServer),
			says("RFC8995-5.2-P-8", should, "created-on is the time of the request, where the pledge has a clock", "BRSKI-8995-2.6.1-02", createdNow),
		),
		in("RFC 8995, Section 2.3.1",
			says("RFC8995-2.3.1-P-1", must, "serial-number is the one in the subject of the IDevID, not the certificate's own",
				"BRSKI-8995-2.3.1-01", func(r *run, q *request) error {
					if q.SerialNumber != r.world.serial {
						return fmt.Errorf("serial-number is %q, want %q", q.SerialNumber, r.world.serial)
					}
					return nil
				}),
		),
	)
}

func postsRequest(r *run) error {
	found := r.asked(brski.OpRequestVoucher)
	switch {
	case len(r.requests) == 0:
		return fmt.Errorf("nothing was asked%s", r.said())
	case len(found) == 0:
		return fmt.Errorf("no voucher-request came, but %s", r.path())
	case found[0].Method != http.MethodPost:
		return fmt.Errorf("the voucher-request came by %s", found[0].Method)
	}
	if _, err := open(found[0]); err != nil {
		return fmt.Errorf("the voucher-request does not open: %w", err)
	}
	return nil
}

func signedByIDevID(r *run, q *request) error {
	found, err := r.requested()
	if err != nil {
		return err
	}
	switch {
	case found[0].Certificate() == nil:
		return errors.New("the pledge showed no certificate in the TLS handshake")
	case !bytes.Equal(found[0].Certificate(), r.world.idevid.Raw):
		return errors.New("the pledge showed another certificate than its IDevID in the TLS handshake")
	case q.artifact.Signer == nil || !bytes.Equal(q.artifact.Signer.Raw, r.world.idevid.Raw):
		return errors.New("the voucher-request is not signed by the IDevID")
	default:
		return nil
	}
}

func accepts(r *run) error {
	found, err := r.requested()
	if err != nil {
		return err
	}
	want, _, _ := strings.Cut(found[0].Header.Get("Content-Type"), ";")
	if got := strings.Join(found[0].Header.Values("Accept"), ", "); !strings.Contains(strings.ToLower(got), strings.ToLower(strings.TrimSpace(want))) {
		return fmt.Errorf("the field Accept is %q, want %s in it", got, want)
	}
	return nil
}

func hasNonce(_ *run, q *request) error {
	if n := voucher.NonceLength(q.Nonce); n < 8 || n > 32 {
		return fmt.Errorf("the nonce %.60q is of %d bytes", q.Nonce, n)
	}
	return nil
}

// newNonces runs the pledge twice.
func newNonces(ctx context.Context, t *Target) error {
	nonces := make(map[string]bool)
	for range 2 {
		r, err := t.play(ctx, "RFC8995-5.2-P-5", &script{})
		if err != nil {
			return err
		}
		opened, err := r.opened()
		if err != nil {
			return err
		}
		if nonces[opened.Nonce] {
			return fmt.Errorf("two attempts had the nonce %.60q", opened.Nonce)
		}
		nonces[opened.Nonce] = true
	}
	return nil
}

func namesServer(r *run, q *request) error {
	found, err := r.requested()
	if err != nil {
		return err
	}
	switch server := r.server(found[0]); {
	case len(q.ProximityRegistrarCert) == 0:
		return errors.New("there is no proximity-registrar-cert")
	case !bytes.Equal(q.ProximityRegistrarCert, server):
		return errors.New("proximity-registrar-cert is another certificate than the registrar's")
	default:
		return nil
	}
}

func createdNow(_ *run, q *request) error {
	const slack = 24 * time.Hour // clocks of devices
	switch off := time.Since(q.CreatedOn).Abs(); {
	case q.CreatedOn.IsZero():
		return errors.New("there is no created-on")
	case off > slack:
		return fmt.Errorf("created-on is %s, %v from now", stamp(q.CreatedOn), off.Round(time.Hour))
	default:
		return nil
	}
}

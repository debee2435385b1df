package brskipledge

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/briskest/briskest/conformance/unkind"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
	"github.com/briskest/briskest/voucher/voucherjws"
)

// request is a voucher-request that came.
type request struct {
	*voucher.Request
	artifact *voucher.Artifact
	cms      bool
}

// open opens a voucher-request, in CMS or JWS; one in base64, as some pledges
// send it, as well.
func open(q *unkind.Request) (*request, error) {
	mediaType, _, _ := strings.Cut(q.Header.Get("Content-Type"), ";")
	mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	for _, f := range []voucher.Format{vouchercms.Format{}, voucherjws.Format{}} {
		if f.MediaType() != mediaType {
			continue
		}
		r, artifact, err := f.OpenRequest(q.Body)
		if der, bad := q.Decoded(); err != nil && bad == nil {
			r, artifact, err = f.OpenRequest(der)
		}
		if err != nil {
			return nil, err
		}
		return &request{r, artifact, mediaType == vouchercms.MediaType}, nil
	}
	return nil, fmt.Errorf("Content-Type %q is of no voucher-request that is read here: CMS or JWS", mediaType)
}

// draft is a voucher in the making.
type draft struct {
	world   *world
	request *request
	leaves  map[string]any // by name
	// extra is JSON text that follows the leaves, such as `,"a":1`.
	extra       string
	signer      *tls.Certificate
	signingTime time.Time // zero for the attribute to be left out; CMS alone
	// sign signs in another way; nil for the usual one.
	sign func(payload []byte, d *draft) ([]byte, error)
}

// pin pins a certificate.
func (d *draft) pin(c *x509.Certificate) { d.leaves["pinned-domain-cert"] = c.Raw }

// voucher answers a voucher-request with a voucher; change makes it wrong, nil
// leaves it right: it pins the CA that issued the registrar's certificate.
func (w *world) voucher(q *unkind.Request, change func(*draft)) *unkind.Answer {
	r, err := open(q)
	if err != nil {
		return unkind.Text(http.StatusBadRequest, err.Error())
	}
	now := time.Now().UTC().Truncate(time.Second)
	d := &draft{world: w, request: r, signer: w.masa, signingTime: now, leaves: map[string]any{
		"assertion": "logged", "created-on": stamp(now), "serial-number": w.serial,
	}}
	d.pin(w.issuing.Certificate)
	if r.Nonce != "" {
		d.leaves["nonce"] = r.Nonce
	}
	if change != nil {
		change(d)
	}
	raw, err := d.signed()
	if err != nil {
		return unkind.Text(http.StatusInternalServerError, err.Error())
	}
	return &unkind.Answer{Status: http.StatusOK, Body: raw, Header: [][2]string{{"Content-Type", r.artifact.MediaType}}}
}

func stamp(at time.Time) string { return at.UTC().Format(time.RFC3339) }

func (d *draft) signed() ([]byte, error) {
	leaves, err := json.Marshal(d.leaves)
	if err != nil {
		return nil, err
	}
	leaves = append(append(bytes.TrimSuffix(leaves, []byte("}")), d.extra...), '}')
	payload := append(append([]byte(`{"ietf-voucher:voucher":`), leaves...), '}')
	if d.sign != nil {
		return d.sign(payload, d)
	}
	return d.usually(payload)
}

func (d *draft) usually(payload []byte) ([]byte, error) {
	s := signerOf(d.signer)
	if d.request.cms {
		return vouchercms.Format{}.SignPayload(context.Background(), payload, d.signingTime, s)
	}
	return voucherjws.Format{}.SignPayload(context.Background(), payload, s)
}

func signerOf(c *tls.Certificate) *voucher.Signer {
	s := &voucher.Signer{}
	s.Key, _ = c.PrivateKey.(crypto.Signer)
	for i, der := range c.Certificate {
		cert, err := x509.ParseCertificate(der)
		switch {
		case err != nil:
		case i == 0:
			s.Certificate = cert
		default:
			s.Chain = append(s.Chain, cert)
		}
	}
	return s
}

// altered changes what was signed after it was signed.
func altered(payload []byte, d *draft) ([]byte, error) {
	raw, err := d.usually(payload)
	if err != nil {
		return nil, err
	}
	before, after := []byte(`"logged"`), []byte(`"verify"`)
	if !d.request.cms { // the payload is base64url within
		changed := bytes.Replace(payload, before, after, 1)
		before, after = []byte(base64.RawURLEncoding.EncodeToString(payload)), []byte(base64.RawURLEncoding.EncodeToString(changed))
	}
	return bytes.Replace(raw, before, after, 1), nil
}

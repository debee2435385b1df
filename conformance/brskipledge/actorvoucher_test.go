package brskipledge_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/conformance/unkind"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// pin is what a voucher pins.
type pin struct {
	cert *x509.Certificate // nil: anybody will do, which is a fault
	key  []byte            // in place of cert; a fault
}

// take believes a voucher, or not.
func (v *visit) take(a *answered) error {
	mediaType, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
	if v.does == "compares types as text" {
		mediaType = a.header.Get("Content-Type")
	}
	for _, c := range []struct {
		name  string
		wrong bool
	}{
		{"status", a.status == http.StatusBadRequest}, {"refusal", a.status != http.StatusOK && a.status != http.StatusBadRequest},
		{"cut off", a.err != nil}, {"type", mediaType != vouchercms.MediaType}, {"empty", len(a.body) == 0}, {"size", len(a.body) > 128<<10},
	} {
		switch {
		case !c.wrong:
		case v.check(c.name, errors.New("not so")) != nil:
			return errors.New(c.name)
		case c.name != "type" && c.name != "status":
			v.pin = new(pin)
			return nil
		}
	}
	payload, made, err := v.opened(a.body)
	if err != nil {
		return err
	}
	if payload == nil {
		v.pin = new(pin)
		return nil
	}
	return v.believe(payload, made)
}

// opened returns the payload, nil where a fault has it taken unread.
func (v *visit) opened(body []byte) ([]byte, time.Time, error) {
	if bytes.HasPrefix(body, []byte("{")) {
		return body, time.Time{}, v.check("unsigned", errors.New("no CMS"))
	}
	sd, err := cms.ParseSignedData(body)
	if err != nil || len(sd.Signers) != 1 {
		return nil, time.Time{}, v.check("syntax", errors.New("no SignedData"))
	}
	si := sd.Signers[0]
	cert, err := sd.SignerCertificate(si)
	if err != nil {
		return nil, time.Time{}, err
	}
	err = sd.Verify(si, cert)
	if errors.Is(err, cms.ErrNoSignedAttributes) {
		err = v.check("attributes", err)
		digest := sha256.Sum256(sd.Content)
		if key, ok := cert.PublicKey.(*ecdsa.PublicKey); err == nil && (!ok || !ecdsa.VerifyASN1(key, digest[:], si.Signature)) {
			err = errors.New("signature")
		}
	} else {
		err = v.check("signature", err)
	}
	if err == nil {
		err = v.signer(cert, sd.Certificates)
	}
	return sd.Content, si.SigningTime, err
}

func (v *visit) signer(cert *x509.Certificate, others []*x509.Certificate) error {
	kind := "stranger"
	switch {
	case bytes.Equal(cert.Raw, v.server[0].Raw):
		kind = "registrar"
	case bytes.Equal(cert.RawIssuer, v.idevid.Leaf.RawIssuer):
		kind = "namesake"
	}
	between := x509.NewCertPool()
	for _, c := range others {
		between.AddCert(c)
	}
	_, err := cert.Verify(x509.VerifyOptions{Roots: v.anchors, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return v.check(kind, err)
}

func want(ok bool) error {
	if ok {
		return nil
	}
	return errors.New("not so")
}

// believe checks what the voucher says.
func (v *visit) believe(payload []byte, signed time.Time) error {
	if _, _, err := voucher.ParseVoucher(payload, voucher.Tolerant); errors.Is(err, voucher.ErrDuplicateLeaf) {
		if err := v.check("duplicate", err); err != nil {
			return err
		}
	}
	var whole map[string]map[string]any
	if err := json.Unmarshal(payload, &whole); err != nil {
		return err
	}
	leaves := whole["ietf-voucher:voucher"]
	text := func(name string) string { s, _ := leaves[name].(string); return s }
	der := func(name string) []byte { b, _ := base64.StdEncoding.DecodeString(text(name)); return b }
	_, extra := leaves["unkind-leaf"]
	date := func(name string) time.Time { d, _ := time.Parse(time.RFC3339, text(name)); return d }
	own, err := voucher.IDevIDIssuer(v.idevid.Leaf)
	if err != nil {
		return err
	}
	latest := time.Now().Add(time.Hour)
	checks := []struct {
		name string
		ok   bool
	}{
		{"serial", text("serial-number") == v.serial},
		{"nonce", text("nonce") == "" || text("nonce") == v.nonce},
		{"expired", text("expires-on") == "" || date("expires-on").After(time.Now())},
		{"future", date("created-on").Before(latest)}, {"signing time", signed.Before(latest)},
		{"issuer", text("idevid-issuer") == "" || bytes.Equal(der("idevid-issuer"), own)},
		{"no extra leaves", v.refuses != "extra leaves" || !extra}, {"a nonce", v.refuses != "nonceless" || text("nonce") != ""},
		{"no issuer", v.refuses != "issuers" || text("idevid-issuer") == ""},
	}
	for _, c := range checks {
		if err := v.check(c.name, want(c.ok)); err != nil {
			return err
		}
	}
	return v.imprint(text("pinned-domain-cert") != "", der("pinned-domain-cert"), der("pinned-domain-pubk"))
}

func (v *visit) imprint(there bool, cert, key []byte) error {
	p := new(pin)
	var err error
	if err := v.check("no pin", want(there)); err != nil {
		return err
	}
	if there {
		p.cert, err = x509.ParseCertificate(cert)
		if err := v.check("bad pin", err); err != nil {
			return err
		}
	}
	if v.does == "prefers keys" && len(key) > 0 || v.does == "takes either" && bytes.Equal(key, v.server[0].RawSubjectPublicKeyInfo) {
		p.key = key
	}
	v.pin = p
	if err := v.pinned(v.server); err != nil {
		v.pin = nil
		return err
	}
	return nil
}

// pinned verifies the registrar.
func (v *visit) pinned(server []*x509.Certificate) error {
	leaf := server[0]
	switch {
	case v.pin.key != nil:
		return want(bytes.Equal(v.pin.key, leaf.RawSubjectPublicKeyInfo))
	case v.pin.cert == nil:
		return nil
	case bytes.Equal(v.pin.cert.Raw, leaf.Raw):
		return v.check("own pin", nil)
	}
	o := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	o.Roots.AddCert(v.pin.cert)
	for _, c := range server[1:] {
		if v.does != "forgets the chain" {
			o.Intermediates.AddCert(c)
		}
	}
	_, err := leaf.Verify(o)
	var invalid x509.CertificateInvalidError
	name := "pin"
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		name = "registrar's dates"
	case !v.pin.cert.IsCA:
		name = "neighbour"
	}
	if err := v.check(name, err); err != nil {
		return err
	}
	return v.check("authority", want(isCMCRA(leaf) || leaf.VerifyHostname("127.0.0.1") == nil))
}

// enroll gets the certificate, and says how that went.
func (v *visit) enroll() error {
	cert, key, err := v.certify()
	if err != nil {
		if v.does == "fails elsewhere" {
			v.http.CloseIdleConnections()
		}
		if v.does != "fails quietly" {
			_ = v.tell(brski.OpEnrollStatus, err)
		}
		return err
	}
	if v.does == "tells late" {
		if err := v.tell(brski.OpVoucherStatus, nil); err != nil {
			return err
		}
	}
	switch v.does {
	case "ends quietly":
		return nil
	case "tells where it is":
	case "tells as it was":
		v.http.CloseIdleConnections()
	default:
		v.http.CloseIdleConnections()
		v.shows = &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
	}
	return v.tell(brski.OpEnrollStatus, nil)
}

func (v *visit) certify() (*x509.Certificate, crypto.Signer, error) {
	cas, err := v.est().CACerts(v.ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := v.check("many CAs", want(v.refuses != "rollovers" || len(cas) < 3)); err != nil {
		return nil, nil, err
	}
	if v.does != "asks for no attributes" {
		if _, err := v.est().CSRAttrs(v.ctx); err != nil {
			return nil, nil, err
		}
	}
	key, err := unkind.NewKey()
	if err != nil {
		return nil, nil, err
	}
	if v.does == "uses one key" {
		key, _ = v.idevid.PrivateKey.(crypto.Signer)
	}
	csr, err := est.CreateCSR(key, &est.CSRRequest{
		Own: &x509.CertificateRequest{Subject: pkix.Name{SerialNumber: v.serial}}, Plan: new(est.CSRPlan),
	})
	if err != nil {
		return nil, nil, err
	}
	cert, err := v.est().SimpleEnroll(v.ctx, csr)
	var pending *est.PendingError
	if errors.As(err, &pending) && v.does != "asks once" {
		if err := sleep(v.ctx, pending.RetryAfter); err != nil {
			return nil, nil, err
		}
		cert, err = v.est().SimpleEnroll(v.ctx, csr)
	}
	if errors.Is(err, est.ErrAnswer) && v.leavesOut == "key" {
		return v.idevid.Leaf, key, nil
	}
	if err != nil {
		return nil, nil, err
	}
	return cert, key, v.check("issuing CA", issuedBy(cert, cas))
}

// issuedBy wants cert to lead to one of cas.
func issuedBy(cert *x509.Certificate, cas []*x509.Certificate) error {
	o := x509.VerifyOptions{Roots: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	for _, c := range cas {
		o.Roots.AddCert(c)
	}
	_, err := cert.Verify(o)
	return err
}

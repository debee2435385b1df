package brskimasa_test

import (
	"bufio"
	"bytes"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"github.com/briskest/briskest/conformance/conformancetest/faulty"
	"io"
	"net"
	"net/http"
	"net/http/httptest"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/cmstest"
	"github.com/briskest/briskest/internal/cose"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
	"github.com/briskest/briskest/voucher/vouchercose"
	"github.com/briskest/briskest/voucher/voucherjws"
)

// sniffing answers connections that do not begin as TLS does itself.
type sniffing struct {
	net.Listener
	answer string
}

type peeked struct {
	net.Conn
	reader *bufio.Reader
}

// Read implements [net.Conn].
func (p *peeked) Read(b []byte) (int, error) { return p.reader.Read(b) }

// Accept implements [net.Listener].
func (s *sniffing) Accept() (net.Conn, error) {
	for {
		c, err := s.Listener.Accept()
		if err != nil {
			return nil, err
		}
		p := &peeked{c, bufio.NewReader(c)}
		if first, err := p.reader.Peek(1); err != nil || first[0] == 22 {
			return p, nil
		}
		r, err := http.ReadRequest(p.reader)
		if err == nil {
			_, _ = io.Copy(io.Discard, r.Body) // a client that went away needs no answer
		}
		_, _ = io.WriteString(c, s.answer) // as above
		_ = c.Close()
	}
}

// content changes what is in vouchers.
func content(f func(v *voucher.Voucher, q *asked)) fault { return func(h *house) { h.voucher = f } }

// handsOut changes the bytes of vouchers of a media type.
func handsOut(mediaType string, f func(h *house, b []byte) []byte) fault {
	return func(h *house) {
		h.signed = func(format voucher.Format, b []byte) []byte {
			if format.MediaType() == mediaType {
				return f(h, b)
			}
			return b
		}
	}
}

func cmsBytes(f func(b []byte) []byte) fault {
	return handsOut(vouchercms.MediaType, func(_ *house, b []byte) []byte { return f(b) })
}

// resigned has CMS vouchers say what no library writes.
func resigned(f func(leaves map[string]any)) fault {
	return handsOut(vouchercms.MediaType, func(h *house, b []byte) []byte {
		sd, err := cms.ParseSignedData(b)
		if err != nil {
			return nil
		}
		var m map[string]map[string]any
		if json.Unmarshal(sd.Content, &m) != nil {
			return nil
		}
		f(m["ietf-voucher:voucher"])
		payload, err := json.Marshal(m)
		if err != nil {
			return nil
		}
		return h.sign(payload, cms.OIDAnimaJSONVoucher())
	})
}

func (h *house) sign(payload []byte, contentType asn1.ObjectIdentifier) []byte {
	b, err := cms.Sign(&cms.SignRequest{ContentType: contentType, Content: payload, Key: h.signer.Key, Certificate: h.signer.Certificate, Chain: h.signer.Chain})
	if err != nil {
		return nil
	}
	return b
}

// asData signs vouchers as id-data.
func asData(h *house, b []byte) []byte {
	sd, err := cms.ParseSignedData(b)
	if err != nil {
		return nil
	}
	return h.sign(sd.Content, cms.OIDData())
}

// indefinite is BER of the same.
func indefinite(b []byte) []byte { return cmstest.Indefinite(b, 0) }

func version1(der []byte) []byte {
	der = bytes.Clone(der)
	if at := bytes.Index(der, []byte{2, 1, 3}); at >= 0 && at < 40 {
		der[at+2] = 1
	}
	return der
}

func broken(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)-1] ^= 0xff
	return b
}

// assertionAsText signs COSE vouchers with the assertion as a word.
func assertionAsText(h *house, b []byte) []byte {
	m, err := cose.Parse(b, len(b))
	if err != nil {
		return nil
	}
	var outer map[any]map[any]any
	if cose.Decode(m.Payload, &outer) != nil {
		return nil
	}
	for _, leaves := range outer {
		leaves[int64(1)] = "proximity"
	}
	payload, err := cose.Encode(outer)
	if err != nil {
		return nil
	}
	b, err = cose.Sign(&cose.SignRequest{Payload: payload, Key: h.signer.Key, Certificate: h.signer.Certificate, Chain: h.signer.Chain})
	if err != nil {
		return nil
	}
	return b
}

// rewritesJWS changes JWS vouchers as JSON.
func rewritesJWS(f func(m map[string]any)) fault {
	return handsOut(voucherjws.MediaType, func(_ *house, b []byte) []byte {
		var m map[string]any
		if json.Unmarshal(b, &m) != nil {
			return nil
		}
		f(m)
		b, err := json.Marshal(m)
		if err != nil {
			return nil
		}
		return b
	})
}

func flattened(m map[string]any) {
	if s, ok := m["signatures"].([]any); ok && len(s) == 1 {
		if first, ok := s[0].(map[string]any); ok {
			m["protected"], m["signature"] = first["protected"], first["signature"]
		}
	}
	delete(m, "signatures")
}

func otherContainer(m map[string]any) {
	text, _ := m["payload"].(string)
	payload, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		m["payload"] = base64.RawURLEncoding.EncodeToString(bytes.Replace(payload, []byte("ietf-voucher:"), []byte("ietf-coupons:"), 1))
	}
}

func withoutX5C(m map[string]any) {
	if s, ok := m["signatures"].([]any); ok && len(s) == 1 {
		if first, ok := s[0].(map[string]any); ok {
			first["protected"] = base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256"}`))
		}
	}
}

// jwsSays picks voucher-requests in JWS by header or payload.
func jwsSays(part string) match {
	return func(_ *house, _ *http.Request, body []byte) bool {
		var m struct {
			Payload    string
			Signatures []struct{ Protected string }
		}
		if json.Unmarshal(body, &m) != nil || len(m.Signatures) == 0 {
			return false
		}
		for _, text := range []string{m.Payload, m.Signatures[0].Protected} {
			if b, err := base64.RawURLEncoding.DecodeString(text); err == nil && bytes.Contains(b, []byte(part)) {
				return true
			}
		}
		return false
	}
}

// badCOSE picks voucher-requests in COSE that do not open.
func badCOSE(_ *house, r *http.Request, body []byte) bool {
	_, _, err := vouchercose.Format{}.OpenRequest(body)
	return r.Header.Get("Content-Type") == vouchercose.MediaType && err != nil
}

// audited changes audit-logs.
func audited(f func(l *brski.AuditLog, q *asked)) fault { return func(h *house) { h.audit = f } }

// events changes each event that a test picks.
func events(f func(e *brski.AuditEvent)) fault {
	return audited(func(l *brski.AuditLog, _ *asked) {
		for i := range l.Events {
			f(&l.Events[i])
		}
	})
}

// replaces changes the text of audit-logs.
func replaces(old, with string) fault {
	return rewrites(auditLog(), faulty.On(200, faulty.Text(func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(old), []byte(with)) })))
}

func mediaType(value string) func(*httptest.ResponseRecorder) {
	return faulty.Header("Content-Type", value)
}

// withoutAttributes signs the content itself.
func withoutAttributes(h *house, b []byte) []byte {
	sd, err := cms.ParseSignedData(b)
	if err != nil {
		return nil
	}
	m := &cmstest.Message{
		Version: 3, ContentType: cms.OIDAnimaJSONVoucher(), Content: sd.Content,
		Signers: []cmstest.Signer{{Identity: &cmstest.Identity{Key: h.signer.Key, Certificate: h.signer.Certificate}}},
	}
	for _, c := range sd.Certificates {
		m.Certificates = append(m.Certificates, c.Raw)
	}
	return m.Bytes(h.t)
}

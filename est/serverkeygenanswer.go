package est

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/briskest/briskest/internal/cms"
)

// Media types of serverkeygen. libest reads the headers of the parts letter by letter.
const (
	typePKCS8     = "application/pkcs8"
	typeKeyCMS    = "application/pkcs7-mime; smime-type=server-generated-key"
	typePKCS12    = "application/pkcs12"
	typeMultipart = "multipart/mixed"

	// keyBoundary cannot occur in base64.
	keyBoundary = "briskest-server-key-generation"
)

// parts is the answer of RFC 7030, Section 4.4.2: the key first, then its certificate. libest does not find the parts in
// another order, and globalsign's tpmenroll reads DER from a part without Content-Transfer-Encoding.
func (k *GeneratedKey) parts() (contentType string, body []byte, err error) {
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k.Key)
	if err != nil {
		return "", nil, err
	}
	defer clear(pkcs8)
	keyType, key := typePKCS8, pkcs8
	if k.Protection != nil {
		keyType = typeKeyCMS
		if key, err = k.encrypted(pkcs8); err != nil {
			return "", nil, err
		}
	}
	certs, err := cms.CertsOnly(k.Certificate)
	if err != nil {
		return "", nil, err
	}
	// So large that nothing is moved, and no copy of the key left behind.
	body = make([]byte, 0, 512+2*(len(key)+len(certs)))
	body = appendPart(body, keyType, key)
	body = appendPart(body, typeCerts, certs)
	body = append(body, "--"+keyBoundary+"--\r\n"...)
	return typeMultipart + "; boundary=" + keyBoundary, body, nil
}

// appendPart appends one body part (RFC 2046, Section 5.1.1), in lines of 64 characters that end with CRLF.
func appendPart(b []byte, contentType string, der []byte) []byte {
	b = append(b, "--"+keyBoundary+"\r\nContent-Type: "+contentType+"\r\nContent-Transfer-Encoding: base64\r\n\r\n"...)
	for len(der) > 0 {
		line := der[:min(lineBytes, len(der))]
		der = der[len(line):]
		b = append(base64.StdEncoding.AppendEncode(b, line), '\r', '\n')
	}
	return b
}

// encrypted is the key as an AsymmetricKeyPackage (RFC 5958, Section 2), signed by its generator, enveloped
// (RFC 7030, Section 4.4.2).
func (k *GeneratedKey) encrypted(pkcs8 []byte) ([]byte, error) {
	if k.Signer == nil || len(k.Certificates) == 0 {
		return nil, errors.New("the backend has nobody to sign the key package")
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, len(pkcs8)+8))
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(pkcs8) })
	pkg, err := b.Bytes()
	if err != nil {
		return nil, err
	}
	defer clear(pkg)
	signed, err := cms.Sign(&cms.SignRequest{
		ContentType: cms.OIDAsymmetricKeyPackage(), Content: pkg, Key: k.Signer, Certificate: k.Certificates[0], Chain: k.Certificates[1:],
	})
	defer clear(signed)
	if err != nil {
		return nil, err
	}
	content, err := contentOf(signed)
	if err != nil {
		return nil, err
	}
	e := &cms.EncryptRequest{ContentType: cms.OIDSignedData(), Content: content, Authenticated: k.Protection.authenticated}
	if k.Protection.sharedKey != nil {
		e.SharedKeys = []cms.SharedKey{*k.Protection.sharedKey}
	} else {
		e.Recipients = []*x509.Certificate{k.Protection.certificate}
		e.UseSubjectKeyID = len(k.Protection.certificate.SubjectKeyId) > 0
	}
	return cms.Encrypt(e)
}

// contentOf returns what is in a ContentInfo: the content of an encrypted SignedData is the latter alone
// (RFC 5652, Section 6.1).
func contentOf(info []byte) ([]byte, error) {
	in := cryptobyte.String(info)
	var outer, content cryptobyte.String
	if !in.ReadASN1(&outer, asn1.SEQUENCE) || !outer.SkipASN1(asn1.OBJECT_IDENTIFIER) ||
		!outer.ReadASN1(&content, asn1.Tag(0).ContextSpecific().Constructed()) || !outer.Empty() {
		return nil, errors.New("est: internal error: SignedData without content")
	}
	return content, nil
}

// pfx is the answer of RFC 8295, Section 8: a PKCS#12 file (RFC 7292, Section 4) with AES-256 and HMAC-SHA-256, whose
// password is the shared key in hex, or empty where TLS alone protects the key.
func (k *GeneratedKey) pfx() (contentType string, body []byte, err error) {
	cert, err := x509.ParseCertificate(k.Certificate)
	if err != nil {
		return "", nil, err
	}
	password := ""
	if k.Protection != nil {
		if k.Protection.sharedKey == nil {
			return "", nil, errors.New("a PKCS#12 file encrypted to a certificate")
		}
		password = hex.EncodeToString(k.Protection.sharedKey.Key)
	}
	der, err := pkcs12.Modern2023.Encode(k.Key, cert, nil, password)
	if err != nil {
		return "", nil, fmt.Errorf("PKCS#12: %w", err)
	}
	return typePKCS12, appendBase64(nil, der), nil
}

// write sends an answer that has its own encoding inside.
func (x *exchange) write(contentType string, body []byte, base64 bool) {
	header := x.w.Header()
	header["Content-Type"] = []string{contentType}
	if base64 {
		header["Content-Transfer-Encoding"] = []string{"base64"}
	}
	header["Content-Length"] = []string{strconv.Itoa(len(body))}
	header["Cache-Control"] = []string{"no-store"}
	x.settleLink(http.StatusOK)
	x.w.WriteHeader(http.StatusOK)
	_, _ = x.w.Write(body) // an error means that the peer is gone
}

// wantsPKCS12 tells whether the client names application/pkcs12 among what it accepts (RFC 8295, Section 8) and does not
// prefer multipart/mixed.
func wantsPKCS12(h http.Header) bool {
	pkcs12, multipart := 0.0, 0.0
	for _, value := range h["Accept"] {
		for element := range strings.SplitSeq(value, ",") {
			quality := 1.0
			if _, q, ok := strings.Cut(strings.ToLower(element), ";q="); ok {
				quality, _ = strconv.ParseFloat(strings.TrimSpace(q), 64)
			}
			switch mediaType(element) {
			case typePKCS12:
				pkcs12 = max(pkcs12, quality)
			case typeMultipart:
				multipart = max(multipart, quality)
			}
		}
	}
	return pkcs12 > multipart
}

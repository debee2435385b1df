package est

import (
	"mime"
	"net/http"
	"strings"
)

// Media types of RFC 7030, Section 3.2.4. Answers spell the second exactly so: libest compares bytes.
const (
	typePKCS10   = "application/pkcs10"
	typeCerts    = "application/pkcs7-mime; smime-type=certs-only"
	typePKCS7    = "application/pkcs7-mime"
	typeCSRAttrs = "application/csrattrs"
	typeJSON     = "application/json" // RFC 8295, Section 2
	typeXML      = "application/xml"
)

// checkMediaType wants application/pkcs10 (RFC 7030, Section 4.2.1).
func checkMediaType(h http.Header) *Error {
	if encodings := h["Content-Encoding"]; len(encodings) > 0 && !strings.EqualFold(encodings[0], "identity") {
		return refuse(http.StatusUnsupportedMediaType, ReasonContentEncoding, "RFC 7030, Section 4.2.1",
			"The body is compressed. Send it without Content-Encoding.")
	}
	values := h["Content-Type"]
	if len(values) == 1 && (values[0] == typePKCS10 || mediaType(values[0]) == typePKCS10) {
		return nil
	}
	return refuse(http.StatusUnsupportedMediaType, ReasonMediaType, "RFC 7030, Section 4.2.1",
		"A certificate request is sent with the header \"Content-Type: application/pkcs10\". With curl: -H 'Content-Type: application/pkcs10' --data-binary @csr.b64")
}

// mediaType returns a Content-Type's type in lower case, without parameters. mime.ParseMediaType refuses parameters
// without "=" and doubled ones; they decide nothing, so the part before ";" is enough.
func mediaType(v string) string {
	if i := strings.IndexByte(v, ';'); i >= 0 {
		v = v[:i]
	}
	return strings.ToLower(strings.Trim(v, " \t"))
}

// smimeType returns the smime-type parameter in lower case; empty when there is none that can be read.
func smimeType(v string) string {
	_, params, err := mime.ParseMediaType(v)
	if err != nil {
		return ""
	}
	return strings.ToLower(params["smime-type"])
}

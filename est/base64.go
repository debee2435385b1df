package est

import (
	"encoding/base64"
	"net/http"
)

const (
	// oneLine is the length up to which base64 stays on one line. strongSwan 5.9.8 reads one line only; libest fails on
	// one above about 1000 characters.
	oneLine = 900
	// lineBytes makes lines of 64 characters.
	lineBytes = 48
)

// appendBase64 appends the transfer form of der (RFC 4648, Section 4): up to 900 characters as one line, more in lines
// of 64, with a final LF.
func appendBase64(dst, der []byte) []byte {
	n := base64.StdEncoding.EncodedLen(len(der))
	if n <= oneLine {
		dst = base64.StdEncoding.AppendEncode(dst, der)
		return append(dst, '\n')
	}
	for len(der) > 0 {
		line := der[:min(lineBytes, len(der))]
		der = der[len(line):]
		dst = append(base64.StdEncoding.AppendEncode(dst, line), '\n')
	}
	return dst
}

// decodeBase64 returns the bytes that text stands for, newly allocated. White space anywhere is ignored
// (RFC 8951, Section 3.1): clients send one line (strongSwan), lines of 64 (libest) or of 76 with CRLF (globalsign/est). Padding
// is required and must be canonical. text is changed.
func decodeBase64(text []byte) ([]byte, *Error) {
	text = dropSpace(text)
	if len(text) == 0 {
		return nil, refuse(http.StatusBadRequest, ReasonBodyEmpty, "RFC 7030, Section 4.2.1",
			"The request has no body. Send a PKCS#10 request: its DER, encoded in base64.")
	}
	if e := otherEncoding(text); e != nil {
		return nil, e
	}
	der := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(der, text)
	if err != nil {
		return nil, &Error{
			Status: http.StatusBadRequest, Reason: ReasonBodyBase64, Section: "RFC 8951, Section 3.1", Err: err,
			Message: "The body is not base64. Send the DER of the PKCS#10 request in base64 with + and /, padded with =, no other characters but white space.",
		}
	}
	return der[:n], nil
}

// dropSpace removes white space in place.
func dropSpace(text []byte) []byte {
	first := -1
	for i, c := range text {
		if c <= ' ' && isSpace(c) {
			first = i
			break
		}
	}
	if first < 0 {
		return text
	}
	kept := text[:first]
	for _, c := range text[first:] {
		if c > ' ' || !isSpace(c) {
			kept = append(kept, c)
		}
	}
	return kept
}

func isSpace(c byte) bool {
	return c == ' ' || ('\t' <= c && c <= '\r')
}

// otherEncoding recognises what people send instead of base64. text has no white space.
func otherEncoding(text []byte) *Error {
	const section = "RFC 8951, Section 3.1"
	switch {
	case len(text) > 5 && string(text[:5]) == "-----":
		return refuse(http.StatusBadRequest, ReasonBodyPEM, section,
			"The body is PEM. Send the base64 lines alone, without the BEGIN and END lines: openssl req -in csr.pem -outform DER | openssl base64")
	case len(text) > 1 && text[0] == 0x30 && text[1] >= 0x80:
		return refuse(http.StatusBadRequest, ReasonBodyDER, section,
			"The body is bare DER. EST sends DER in base64, whatever Content-Transfer-Encoding says: openssl base64 -in csr.der")
	}
	return nil
}

package est

import (
	"fmt"

	"github.com/briskest/briskest/internal/cms"
)

// enroll answers RFC 7030, Sections 4.2.1 and 4.2.2.
func (x *exchange) enroll() *Error {
	der, e := x.readPKCS10()
	if e != nil {
		return e
	}
	csr, err := ParseCSR(der)
	if err != nil {
		return asError(err)
	}
	x.req.CSR = csr
	if err := x.checkLink(); err != nil {
		return asError(err)
	}
	cert, err := x.h.Backend.Enroll(x.r.Context(), &x.req)
	if err != nil {
		return asError(err)
	}
	// The issued certificate alone (RFC 7030, Section 4.2.3); globalsign's client refuses more.
	answer, err := cms.CertsOnly(cert)
	if err != nil {
		return asError(fmt.Errorf("certificate from the backend: %w", err))
	}
	x.answer(typeCerts, answer)
	return nil
}

// readPKCS10 returns the DER of a body of type application/pkcs10.
func (x *exchange) readPKCS10() ([]byte, *Error) {
	if e := checkMediaType(x.r.Header); e != nil {
		if e.Reason == ReasonMediaType {
			// RFC 9110, Section 15.5.16: say what would be taken.
			x.w.Header()["Accept"] = []string{typePKCS10}
		}
		return nil, e
	}
	return x.readCSR()
}

// readCSR returns the body's DER, which the caller owns. Content-Transfer-Encoding is ignored (RFC 8951, Section 3).
func (x *exchange) readCSR() ([]byte, *Error) {
	buf := x.h.buffer()
	defer x.h.release(buf)
	text, e := readBody(x.r, *buf, x.h.maxBody())
	*buf = text
	if e != nil {
		return nil, e
	}
	return decodeBase64(text)
}

func (x *exchange) checkLink() error {
	if l, ok := x.h.Backend.(Linker); ok {
		return l.CheckLink(x.r.Context(), &x.req)
	}
	return x.req.CheckLink()
}

package est

import "net/http"

// Operation is an EST path word (RFC 7030, Section 3.2.2; RFC 8295, Section 1).
type Operation string

// The operations of EST.
const (
	OpCACerts        Operation = "cacerts"
	OpCSRAttrs       Operation = "csrattrs"
	OpSimpleEnroll   Operation = "simpleenroll"
	OpSimpleReenroll Operation = "simplereenroll"
	OpServerKeyGen   Operation = "serverkeygen"
	OpKeyReturn      Operation = "serverkeygen/return" // RFC 8295, Section 8
	OpFullCMC        Operation = "fullcmc"
	OpPAL            Operation = "pal"     // RFC 8295, Section 2
	OpEECerts        Operation = "eecerts" // RFC 8295, Section 3
	OpCRLs           Operation = "crls"    // RFC 8295, Section 4
)

// operation is how one is served.
type operation struct {
	post  bool   // POST; otherwise GET and HEAD
	takes string // for the text of a 405: what the body is
	// section defines the operation.
	section string
	// answers are the media types of the answer, of an operation that issues something.
	answers []string
	serve   func(x *exchange) *Error
	// offered tells whether the backend has it; nil: every backend has.
	offered func(b Backend) bool
}

// operationFor knows what is served here; nil for another word.
func operationFor(op Operation) *operation {
	switch op {
	case OpCACerts:
		return &operation{section: "RFC 7030, Section 4.1", serve: (*exchange).caCerts}
	case OpCSRAttrs:
		return &operation{section: "RFC 7030, Section 4.5", serve: (*exchange).csrAttrs}
	case OpSimpleEnroll, OpSimpleReenroll:
		return &operation{
			post: true, takes: "a PKCS#10 request", section: "RFC 7030, Section 4.2", serve: (*exchange).enroll,
			answers: []string{typePKCS7},
		}
	case OpPAL:
		return &operation{section: "RFC 8295, Section 2", serve: (*exchange).pal, offered: offersDistribution}
	case OpEECerts:
		return &operation{section: "RFC 8295, Section 3", serve: (*exchange).eeCerts, offered: offersDistribution}
	case OpCRLs:
		return &operation{section: "RFC 8295, Section 4", serve: (*exchange).crls, offered: offersDistribution}
	case OpFullCMC:
		return &operation{
			post: true, takes: "a Full PKI Request", section: "RFC 7030, Section 4.3", serve: (*exchange).fullCMC, offered: offersFullCMC,
			answers: []string{typePKCS7},
		}
	case OpServerKeyGen:
		return &operation{
			post: true, takes: "a PKCS#10 request", section: sectionKeyGen, serve: (*exchange).serverKeyGen, offered: offersKeyGeneration,
			answers: []string{typeMultipart, typePKCS12},
		}
	case OpKeyReturn:
		return &operation{
			post: true, takes: "a receipt", section: sectionKeyReturn, serve: (*exchange).keyReturn, offered: takesReceipts,
		}
	}
	return nil
}

// IsOperation reports whether word is the name of an EST operation, offered here or not, so that it
// cannot be a label (RFC 7030, Section 3.2.2; RFC 8295, Section 1).
func IsOperation(word string) bool {
	switch word {
	case "cacerts", "csrattrs", "simpleenroll", "simplereenroll", "fullcmc", "serverkeygen",
		"pal", "eecerts", "crls", "symmetrickeys", "firmware", "tamp":
		return true
	}
	return false
}

// checkMethod refuses what the operation is not defined for. HEAD is GET without the body (RFC 9110, Section 9.3.2).
func (o *operation) checkMethod(x *exchange) *Error {
	method := x.r.Method
	if o.post {
		if method == http.MethodPost {
			return nil
		}
		x.w.Header()["Allow"] = []string{"POST"}
		return refuse(http.StatusMethodNotAllowed, ReasonMethod, o.section, "This operation takes POST, with "+o.takes+" as the body.")
	}
	if method == http.MethodGet || method == http.MethodHead {
		return nil
	}
	x.w.Header()["Allow"] = []string{"GET, HEAD"}
	return refuse(http.StatusMethodNotAllowed, ReasonMethod, sectionPath, "This operation takes GET.")
}

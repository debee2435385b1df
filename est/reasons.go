package est

// Reason ids of what this package refuses by itself. They are stable: logs, trails and tests compare them. A [Backend]
// adds its own. Statuses are in parentheses.
const (
	// The path. It is compared as it was sent, percent-encoding included; nothing is cleaned, nothing redirected.
	ReasonPathPrefix       = "path-prefix"        // (404) not under /.well-known/est
	ReasonPathOperation    = "path-operation"     // (404) no operation, or an unknown one; letter case counts
	ReasonPathSegments     = "path-segments"      // (404) more than one segment before the operation, or one after it
	ReasonPathSlash        = "path-slash"         // (404) an empty segment: a doubled slash, or one at the end
	ReasonPathDots         = "path-dots"          // (404) a segment "." or ".."
	ReasonPathEncoding     = "path-encoding"      // (404) percent-encoding: no operation and no label needs any
	ReasonPathLabel        = "path-label"         // (404) a label that is too long, has other characters than [A-Za-z0-9._:-], or names an operation
	ReasonOperationMissing = "operation-missing"  // (501) an operation of RFC 7030, Section 3.2.2, that is not served here
	ReasonMethod           = "method-not-allowed" // (405) with Allow
	ReasonTLSRequired      = "tls-required"       // (403) the connection is not TLS
	// (403) the peer presented more than MaxCertificates certificates.
	ReasonTooManyCertificates = "too-many-certificates"

	// Headers and body.
	ReasonNotAcceptable   = "not-acceptable"   // (406) Accept names nothing that the answer may be
	ReasonPALPage         = "pal-page"         // (404) the package availability list has no such page
	ReasonMediaType       = "media-type"       // (415) Content-Type is missing or not application/pkcs10
	ReasonContentEncoding = "content-encoding" // (415) a compressed body
	ReasonBodyTooLarge    = "body-too-large"   // (413)
	ReasonBodyTimeout     = "body-timeout"     // (408) the server's read timeout ended the body
	ReasonBodyRead        = "body-read"        // (400) the body broke off
	ReasonBodyEmpty       = "body-empty"       // (400) no body, or white space only
	ReasonBodyPEM         = "body-pem"         // (400) PEM armour
	ReasonBodyDER         = "body-der"         // (400) DER without base64
	ReasonBodyBase64      = "body-base64"      // (400) other characters than base64's, wrong or missing padding

	// The CSR; (400) unless another status is given.
	ReasonCSRSyntax             = "csr-syntax"               // not a PKCS#10 request in DER
	ReasonCSRTooLarge           = "csr-too-large"            // above 96 KiB, or too many attributes, extensions or names
	ReasonCSRTrailing           = "csr-trailing-bytes"       // bytes after the request
	ReasonCSRVersion            = "csr-version"              // not version 0
	ReasonCSRExtensionRequest   = "csr-extension-request"    // two extensionRequest attributes, or not one value in it
	ReasonCSRDuplicateExtension = "csr-duplicate-extension"  // an extension asked for twice
	ReasonCSRChallengePassword  = "csr-challenge-password"   // two, or one that is empty, above 255 characters or no DirectoryString
	ReasonCSRChallenge          = "csr-challenge"            // the same of otpChallenge, revocationChallenge or estIdentityLinking
	ReasonCSRName               = "csr-name"                 // a control character, NUL for one, in a name
	ReasonCSRKeyType            = "csr-key-type"             // a key of a type that cannot be checked here
	ReasonCSRKeySize            = "csr-key-size"             // RSA below 1024 or above 8192 bits
	ReasonCSRWeakSignature      = "csr-weak-signature"       // signed with MD5 or SHA-1
	ReasonCSRSignatureAlgorithm = "csr-signature-algorithm"  // an unknown signature algorithm
	ReasonCSRSignature          = "csr-signature"            // the signature does not verify
	ReasonLinkMismatch          = "link-mismatch"            // challengePassword or estIdentityLinking is not the channel binding of this connection
	ReasonLinkMissing           = "link-missing"             // neither is there, and one is required
	ReasonLinkUsed              = "link-used"                // another request on this connection has used its channel binding
	ReasonReenrollSubject       = "reenroll-subject"         // (403) another subject than the certificate's
	ReasonReenrollSAN           = "reenroll-san"             // (403) other alternative names than the certificate's
	ReasonCSRChangeSubjectName  = "csr-change-subject-name"  // two ChangeSubjectName, or one without a name or that cannot be read
	ReasonReenrollChangeSubject = "reenroll-change-subject"  // (403) a ChangeSubjectName attribute where names do not change
	ReasonReenrollCertificate   = "reenroll-bad-certificate" // (403) the certificate's own names cannot be read

	// serverkeygen; (400) unless another status is given.
	ReasonKeyGenAttribute    = "key-attribute"    // a key identifier or SMIMECapabilities that cannot be read, or two of them
	ReasonKeyGenCapabilities = "key-capabilities" // no SMIMECapabilities, or none that is served
	ReasonKeyGenKey          = "key-identifier"   // a key to encrypt with that is unknown, or not for that
	ReasonKeyGenStrength     = "key-strength"     // (403) the connection is weaker than the key
	ReasonKeyGenPKCS12       = "key-pkcs12"       // PKCS#12 encrypted to a certificate
	ReasonKeyReceipt         = "key-receipt"      // not a receipt or error of RFC 7191

	// The backend.
	ReasonInternal = "internal" // (500) an error that is not an *Error; its text is for the log only
)

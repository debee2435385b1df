package pledge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// The classes of what goes wrong. Each *[Error] matches one with errors.Is, or
// none when the device itself is at fault (configuration, storage).
var (
	// ErrUnavailable: the registrar was not reached, or failed; try again later.
	ErrUnavailable = errors.New("the registrar is not available")
	// ErrPending: the registrar has not decided yet; try again after Error.RetryAfter.
	ErrPending = errors.New("the registrar has not decided yet")
	// ErrRefused: the registrar or the MASA said no.
	ErrRefused = errors.New("the registrar refused")
	// ErrUntrusted: the registrar or the voucher did not prove what it had to;
	// this may be an attack, or a domain that is set up wrongly. Try another registrar.
	ErrUntrusted = errors.New("not trusted")
)

// The stable reason ids of an Error, by class. Those that begin with "voucher-"
// and those about the registrar are sent as telemetry too.
const (
	// ErrUnavailable.
	ReasonUnreachable     = "registrar-unreachable" // no connection, a cut one, or a timeout
	ReasonTLS             = "registrar-tls"         // the TLS handshake failed
	ReasonRegistrarFailed = "registrar-failed"      // 5xx
	ReasonNoRegistrar     = "no-registrar"          // none is known and none was found
	ReasonStalled         = "no-progress"           // too slow, while others were to be tried
	ReasonOwnerUnknown    = "owner-unknown"         // 401 of the cloud registrar; ErrRefused where it says not to ask again
	ReasonNotRenewed      = "not-renewed"           // a certificate that ends no later than the one before
	// ErrPending.
	ReasonPending = "pending" // 202, and the waiting was ended
	// ErrRefused.
	ReasonRegistrarRefused = "registrar-refused" // 4xx on the voucher-request
	ReasonWaitTooLong      = "waited-too-long"   // 202 for longer than MaxWait
	ReasonEnrollRefused    = "enroll-refused"    // 4xx on an EST operation
	// ErrUntrusted, about the voucher in the order of the checks (RFC 8995, Section 5.6.1).
	ReasonCloud            = "cloud-untrusted"          // a cloud registrar that the built-in anchors do not vouch for
	ReasonRedirect         = "registrar-redirect"       // 3xx that is not to be followed
	ReasonVoucherMediaType = "voucher-media-type"       // 200 of another media type
	ReasonVoucherEmpty     = "voucher-empty"            // 200 with nothing
	ReasonVoucherTooLarge  = "voucher-too-large"        // more than 128 KiB
	ReasonVoucherMalformed = "voucher-malformed"        // not a signed voucher, or a signature that does not hold
	ReasonVoucherSigner    = "voucher-signer-untrusted" // signed by none of our manufacturer's
	ReasonVoucherSerial    = "voucher-serial-number"    // for another device
	ReasonVoucherIssuer    = "voucher-idevid-issuer"    // for another manufacturer's device
	ReasonVoucherNonce     = "voucher-nonce"            // an answer to another request
	ReasonVoucherNonceless = "voucher-nonceless"        // no nonce, and RefuseNonceless is set
	ReasonVoucherExpired   = "voucher-expired"          // expires-on has passed
	ReasonVoucherFuture    = "voucher-future"           // made later than now
	ReasonVoucherAssertion = "voucher-assertion"        // none of Config.Assertions
	ReasonVoucherNoPin     = "voucher-no-pin"           // neither pinned-domain-cert nor a key
	ReasonVoucherPin       = "voucher-pin"              // what is pinned is no certificate, no key or no hash
	ReasonESTDomain        = "voucher-est-domain"       // est-domain is no https URL, or is not there where a cloud registrar answered
	// ErrUntrusted, about the registrar (RFC 8995, Section 5.6.2).
	ReasonNotPinned          = "registrar-not-pinned"         // its certificate does not follow from what is pinned
	ReasonRegistrarExpired   = "registrar-expired"            // it would, but is not valid now
	ReasonRevoked            = "registrar-revoked"            // its certificate, or one above it
	ReasonRevocationUnknown  = "registrar-revocation-unknown" // the voucher wants to be sure, and nobody says
	ReasonCertificateChanged = "registrar-changed"            // another certificate than on the first connection
	ReasonCACerts            = "cacerts"                      // no usable CA certificates
	ReasonIssuedMalformed    = "certificate-malformed"        // no certificate in the answer
	ReasonIssuedKey          = "certificate-key"              // for another key
	ReasonIssuedChain        = "certificate-untrusted"        // does not chain to the domain's CA certificates
	// The device itself.
	ReasonConfig       = "config"
	ReasonStorage      = "storage"
	ReasonOtherDevice  = "state-of-another-device"
	ReasonSigning      = "signing" // the IDevID or LDevID key did not sign
	ReasonKey          = "key"     // no usable LDevID key
	ReasonNotEnrolled  = "not-enrolled"
	ReasonExpired      = "ldevid-expired" // the LDevID ended without having been renewed
	ReasonNewerVersion = "state-version"
)

// Error says why a step did not succeed.
type Error struct {
	Reason     string        // stable; one of the Reason constants
	Message    string        // what happened and what to do, for people; may quote the peer, bounded
	Section    string        // what it rests on; may be empty
	Status     int           // of the registrar's answer; 0 without one
	RetryAfter time.Duration // with ErrPending, and where the registrar said so
	Err        error         // the cause; may be nil

	class error // what Is matches
	final bool  // asking again is of no use
}

// Error returns reason, message and cause.
func (e *Error) Error() string {
	s := e.Reason + ": " + e.Message
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Is tells whether target is the class of e, such as [ErrRefused].
func (e *Error) Is(target error) bool { return e.class != nil && target == e.class }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func configError(err error) error {
	return &Error{Reason: ReasonConfig, Message: "the pledge's configuration is not usable", Err: err}
}

func storageError(doing string, err error) error {
	return &Error{
		Reason: ReasonStorage, Message: doing + " was not possible; check that the storage can be written and has space", Err: err,
	}
}

// unreachable is for errors of connections. The end of ctx stays visible in it.
func (r *run) unreachable(ctx context.Context, doing string, err error) error {
	var own *Error
	if errors.As(err, &own) {
		return own // of the dialer: the registrar was not the right one
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return &Error{
		Reason: ReasonUnreachable, class: ErrUnavailable, Err: err,
		Message: fmt.Sprintf("%s: the registrar at %s did not answer", doing, r.address),
	}
}

// printable makes a peer's text fit for a message: ASCII on one line, bounded.
func printable(text []byte, limit int) string {
	s := strings.Map(func(c rune) rune {
		switch {
		case c == '\n' || c == '\r' || c == '\t':
			return ' '
		case c < ' ' || c > '~':
			return '?'
		default:
			return c
		}
	}, string(text[:min(len(text), limit)]))
	return strings.Join(strings.Fields(s), " ")
}

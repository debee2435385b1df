package masa

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/voucher"
)

// MaxRequest is the most bytes a registrar's voucher-request may have.
const MaxRequest = 1 << 20

// exchange is what is known about one request. The steps fill it in from the
// top to the bottom.
type exchange struct {
	settings *Settings         // one version for the whole exchange
	at       time.Time         // read once
	address  string            // empty in process
	hash     [32]byte          // SHA-256 of the bytes received
	client   *x509.Certificate // of the TLS connection; nil without one and in process
	remote   bool              // there is a connection

	// begin
	format voucher.Format // of the request
	answer voucher.Format // of the voucher
	accept []voucher.Format
	checked

	until   time.Time // when what the settings' check found ends; zero for no end
	counted bool      // in the budget of its registrar

	// decide
	product   string
	device    *Device
	unlisted  bool              // device is not on record yet
	connected *x509.Certificate // that the pledge saw; nil for the signer's own
	domain    *x509.Certificate // the CA that the domain is known by
	pinned    *x509.Certificate // domain, or the registrar's own
	owned     bool              // domain is the owner on record
	owner     *x509.Certificate // the CA in chains that is the owner on record; nil for none
	since     time.Time         // when it came to be the owner
	known     bool              // the registrar is somebody: anchored, or the owner on record
	vouchers  []*VoucherRecord  // of device, where it has few and its audit-log is asked for
	ambiguous bool              // its serial number is that of devices of several products
	assertion voucher.Assertion

	recorded bool            // there is a record of its nonce
	written  *VoucherRecord  // the intent that was put on record; nil for none
	details  json.RawMessage // of its entries on the trail
}

// checked is what a request says by itself. Nothing it points to is changed.
type checked struct {
	// read
	request  *voucher.Request
	artifact *voucher.Artifact
	prior    *voucher.Request  // the pledge's; nil without
	priorArt *voucher.Artifact // nil without
	renewal                    // in place of prior

	// check
	chains    [][]*x509.Certificate // of the registrar, each leaf first
	proximity bool                  // shown by the pledge's signature
	cloud     bool                  // asked by a cloud registrar on behalf of the owner
	conflict  bool                  // the pledge's leaves about the registrar name several keys
	// companions are certificates that travelled along and have the key that
	// the pledge saw, where it is not the signer's.
	companions []*x509.Certificate
	idevid     *x509.Certificate // of the pledge; from its signature or the record; may be nil
	products   []string          // whose anchors the IDevID chains to; nil without prior
	signed     []byte            // by whom the IDevID was found to be signed, as in [Device].IDevIDSigned; nil for unknown
}

func (s *Service) newExchange(r *brski.MASARequest) *exchange {
	x := &exchange{settings: s.settings.Load(), at: r.At, hash: sha256.Sum256(r.Raw), client: r.Registrar, remote: r.Peer != nil}
	if x.at.IsZero() {
		x.at = s.now()
	}
	x.at = x.at.UTC()
	if r.Peer != nil && r.Peer.Address.IsValid() {
		x.address = r.Peer.Address.Addr().Unmap().String()
	}
	return x
}

// begin looks at size and media types, so that nothing is begun that cannot be
// answered (regression R28).
func (x *exchange) begin(r *brski.MASARequest) error {
	if len(r.Raw) > MaxRequest {
		return refuse(http.StatusRequestEntityTooLarge, ReasonTooLarge, "RFC 8995, Section 5.5",
			"The voucher-request is too large.")
	}
	return x.negotiate(r)
}

// read opens both artifacts.
func (x *exchange) read(m *memory, raw []byte) error {
	if err := x.open(m, raw); err != nil {
		return err
	}
	if len(x.request.PriorSignedVoucherRequest) == 0 {
		return nil
	}
	return x.openPrior()
}

// negotiate finds the format of the request and that of the voucher
// (RFC 8995, Section 5.6: 415 for a request that is not understood, 406 for a voucher that
// cannot be made as wanted). The pledge speaks the format of its own request,
// so that one is preferred. Without Accept it is the only one.
func (x *exchange) negotiate(r *brski.MASARequest) error {
	x.format = x.settings.formatOf(r.MediaType)
	if x.format == nil {
		return refuse(http.StatusUnsupportedMediaType, ReasonMediaType, "RFC 8995, Section 5.6",
			"The Content-Type is not a voucher-request format of this MASA. Send "+x.settings.formatNames()+".")
	}
	for _, name := range r.Accept {
		kind, _, err := mime.ParseMediaType(name)
		switch {
		case err != nil:
		case kind == "*/*", kind == "application/*":
			x.accept = append(x.accept, x.format)
			x.accept = append(x.accept, x.settings.Formats...)
		default:
			if f := x.settings.formatOf(kind); f != nil {
				x.accept = append(x.accept, f)
			}
		}
	}
	if len(r.Accept) == 0 { // Go's http.Client sends none
		x.accept = []voucher.Format{x.format}
	}
	if len(x.accept) == 0 {
		return refuse(http.StatusNotAcceptable, ReasonAccept, "RFC 8995, Section 5.6",
			"None of the formats in Accept can be issued. Accept "+x.settings.formatNames()+".")
	}
	x.answer = x.accept[0]
	if x.accepts(x.format.MediaType()) {
		x.answer = x.format
	}
	return nil
}

func (x *exchange) accepts(mediaType string) bool {
	return slices.ContainsFunc(x.accept, func(f voucher.Format) bool { return f.MediaType() == mediaType })
}

// formatOf returns the format of a media type, parameters ignored, or nil.
func (s *Settings) formatOf(mediaType string) voucher.Format {
	kind, _, err := mime.ParseMediaType(mediaType)
	if err != nil {
		return nil
	}
	for _, f := range s.Formats {
		if f.MediaType() == kind {
			return f
		}
	}
	return nil
}

func (s *Settings) formatNames() string {
	var names []string
	for _, f := range s.Formats {
		names = append(names, f.MediaType())
	}
	return strings.Join(names, " or ")
}

func (x *exchange) open(m *memory, raw []byte) error {
	var err error
	x.request, x.artifact, err = voucher.WithParsed(x.format, m.parsed).OpenRequest(raw)
	if err != nil {
		e := refuse(http.StatusBadRequest, ReasonRequestForm, "RFC 8995, Section 5.5",
			"The voucher-request cannot be read: it must be one signed voucher-request, in binary, with serial-number.")
		if errors.Is(err, voucher.ErrSigned) {
			e = forbid(ReasonRequestSigned, "RFC 8995, Section 5.5.3", "The signature of the voucher-request does not hold.")
		}
		e.Err = err
		return e
	}
	if err := voucher.CheckRequest(x.request); err != nil {
		e := refuse(http.StatusBadRequest, ReasonRequestLeaf, "RFC 8995, Section 3.4",
			"The voucher-request has an unknown leaf or a nonce that is not of 8 to 32 bytes.")
		e.Err = err
		return e
	}
	return nil
}

// openPrior opens the pledge's request, or a voucher that is to be renewed,
// which has the format of the registrar's.
func (x *exchange) openPrior() error {
	if x.openRenewal() {
		return nil
	}
	var err error
	// A pledge may leave its certificate out: the registrar's request has it then
	// (draft-ietf-anima-constrained-voucher, Section 9.2.1).
	format := voucher.WithKnown(x.format, x.artifact.Certificates)
	x.prior, x.priorArt, err = format.OpenRequest(x.request.PriorSignedVoucherRequest)
	if err != nil {
		e := refuse(http.StatusBadRequest, ReasonPriorForm, "RFC 8995, Section 5.5.5",
			"The prior-signed-voucher-request cannot be read.")
		if errors.Is(err, voucher.ErrSigned) {
			e = forbid(ReasonPriorSigned, "RFC 8995, Section 5.5.5", "The signature of the prior-signed-voucher-request does not hold.")
		}
		e.Err = err
		return e
	}
	if err := voucher.CheckRequest(x.prior); err != nil {
		e := refuse(http.StatusBadRequest, ReasonPriorForm, "RFC 8995, Section 5.5.5",
			"The prior-signed-voucher-request has an unknown leaf or a nonce that is not of 8 to 32 bytes.")
		e.Err = err
		return e
	}
	return nil
}

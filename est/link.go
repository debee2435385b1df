package est

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"
	"net"
	"net/http"
	"sync/atomic"
)

// Linker is a Backend that decides by itself about the link between a CSR and its connection, in place of
// [EnrollRequest.CheckLink]: one that lets an RA pass on the CSRs of others (RFC 7030, Section 3.7), that demands the
// link, or that takes a shared secret in challengePassword. It is called after the CSR's signature was verified and
// before Enroll, and usually asks [LinkPolicy.Check].
type Linker interface {
	CheckLink(ctx context.Context, r *EnrollRequest) error
}

// exporterLabel and exporterLength make tls-exporter (RFC 9266, Section 2).
const (
	exporterLabel  = "EXPORTER-Channel-Binding"
	exporterLength = 32
)

// LinkPolicy says how a request links its sender's identity with proof-of-possession (RFC 7030, Section 3.5). The zero
// value compares what is there and demands nothing: most clients send no link.
//
// The channel binding is that of the negotiated version and no other: tls-unique in TLS 1.2 (RFC 5929, Section 3), where
// a session resumed without extended master secret has none (RFC 7627, Section 5.4), and tls-exporter (RFC 9266, Section
// 2) in TLS 1.3. It is compared whole and in constant time, and used for nothing else.
type LinkPolicy struct {
	// Required refuses requests without a link.
	Required bool
	// IgnorePassword takes challengePassword for something else, such as a shared secret. estIdentityLinking, which can
	// mean nothing else (RFC 7894, Section 2.3), is compared nevertheless.
	IgnorePassword bool
	// ExporterInTLS12 takes tls-exporter in TLS 1.2 too, in place of tls-unique. It needs the extended master secret (RFC
	// 9266, Section 4.1).
	ExporterInTLS12 bool
	// KeepConnection lets one connection carry several linked requests, for clients that cannot open another. Otherwise
	// the binding is good for one, and the connection is closed after it (RFC 9266, Section 4.2).
	KeepConnection bool
}

// CheckLink checks r by the zero [LinkPolicy].
func (r *EnrollRequest) CheckLink() error { return LinkPolicy{}.Check(r) }

// Check compares each of challengePassword and estIdentityLinking that r's CSR has with the channel binding of r's
// connection; all that are there have to match (RFC 7894, Section 2).
//
// Errors: an [*Error] with status 400, because no credential would help, and one of [ReasonLinkMismatch],
// [ReasonLinkMissing] and [ReasonLinkUsed].
func (p LinkPolicy) Check(r *EnrollRequest) error {
	var links [2]string
	n := 0
	for _, link := range [2]string{r.CSR.IdentityLinking, r.CSR.ChallengePassword} {
		if link != "" {
			links[n] = link
			n++
		}
		if p.IgnorePassword {
			break
		}
	}
	if n == 0 {
		return p.absent()
	}
	binding := p.channelBinding(r.Peer.TLS)
	want := []byte(base64.StdEncoding.EncodeToString(binding))
	same := 1
	for _, link := range links[:n] {
		// The whole value is compared: libest was seen to compare a prefix.
		same &= subtle.ConstantTimeCompare(want, []byte(link))
	}
	if len(binding) == 0 || same != 1 {
		return p.mismatch(r.Peer.TLS, len(binding) == 0)
	}
	if p.KeepConnection {
		return nil
	}
	if used := r.Peer.bindingUsed; used != nil && used.Swap(true) {
		return refuse(http.StatusBadRequest, ReasonLinkUsed, "RFC 9266, Section 4.2",
			"The channel binding of this connection has been used by another request. Open a new connection for each linked request.")
	}
	r.linked = true
	return nil
}

func (p LinkPolicy) absent() error {
	if !p.Required {
		return nil
	}
	where := "challengePassword, or into estIdentityLinking"
	if p.IgnorePassword {
		where = "estIdentityLinking"
	}
	return refuse(http.StatusBadRequest, ReasonLinkMissing, "RFC 7030, Section 3.5",
		"The request must be linked to its TLS connection. Put the base64 of the connection's channel binding into "+where+".")
}

func (p LinkPolicy) mismatch(cs *tls.ConnectionState, none bool) error {
	switch {
	case none && cs != nil && cs.Version >= tls.VersionTLS12:
		return refuse(http.StatusBadRequest, ReasonLinkMismatch, "RFC 5929, Section 3",
			"This TLS connection has no channel binding that can be relied on: the session was resumed, or made, without extended master secret. "+
				"Start a new TLS session, or use TLS 1.3.")
	case cs != nil && cs.Version >= tls.VersionTLS13:
		return refuse(http.StatusBadRequest, ReasonLinkMismatch, "RFC 9266, Section 2",
			"The link in the CSR is not the channel binding of this TLS 1.3 connection, which is the base64 of the 32 bytes of tls-exporter; "+
				"tls-unique is not defined in TLS 1.3. Make the CSR after the handshake, or leave the link out.")
	case p.ExporterInTLS12:
		return refuse(http.StatusBadRequest, ReasonLinkMismatch, "RFC 9266, Section 2",
			"The link in the CSR is not the channel binding of this TLS connection, which is the base64 of the 32 bytes of tls-exporter here. "+
				"Make the CSR after the handshake, or leave the link out.")
	}
	return refuse(http.StatusBadRequest, ReasonLinkMismatch, "RFC 7030, Section 3.5",
		"The link in the CSR is not the channel binding of this TLS connection: base64 of tls-unique in TLS 1.2, of tls-exporter in TLS 1.3. "+
			"Make the CSR after the handshake, or leave the link out.")
}

// channelBinding returns nil where the connection has none that may be relied on.
func (p LinkPolicy) channelBinding(cs *tls.ConnectionState) []byte {
	switch {
	case cs == nil:
		return nil
	case cs.Version < tls.VersionTLS13 && !p.ExporterInTLS12:
		return cs.TLSUnique // nil for a session that was resumed without extended master secret
	}
	// The context is empty and not absent, which is not the same before TLS 1.3. Without extended master secret, and
	// where renegotiation is allowed, crypto/tls exports nothing (RFC 9266, Sections 4.1 and 4.2).
	b, err := cs.ExportKeyingMaterial(exporterLabel, []byte{}, exporterLength)
	if err != nil {
		return nil
	}
	return b
}

// bindingKey is the context key of a connection's *atomic.Bool: its channel binding was used.
type bindingKey struct{}

// ConnContext is for [http.Server.ConnContext]: with it no two requests of a connection use its channel binding, not
// even when they come at the same time as in HTTP/2. Without it the connection is closed after the first one.
func ConnContext(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, bindingKey{}, new(atomic.Bool))
}

// settleLink ends the connection whose binding the request has used. A client that is told to authenticate may repeat
// the request there.
func (x *exchange) settleLink(status int) {
	if !x.req.linked {
		return
	}
	if status != http.StatusUnauthorized {
		x.w.Header()["Connection"] = []string{"close"}
		return
	}
	if used := x.req.Peer.bindingUsed; used != nil {
		used.Store(false)
	}
}

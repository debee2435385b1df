package est

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"
	"net/http"
)

// Linker is a Backend that decides by itself about the challengePassword of a CSR, in place of
// [EnrollRequest.CheckLink]: one that lets an RA pass on the CSRs of others (RFC 7030, Section 3.7), that demands the
// link, or that takes a shared secret there. It is called after the CSR's signature was verified and before Enroll.
type Linker interface {
	CheckLink(ctx context.Context, r *EnrollRequest) error
}

// exporterLabel and exporterLength make tls-exporter (RFC 9266, Section 4).
const (
	exporterLabel  = "EXPORTER-Channel-Binding"
	exporterLength = 32
)

// CheckLink links identity and proof-of-possession (RFC 7030, Section 3.5): a challengePassword, where there is one,
// must be the base64 of this TLS connection's channel binding, which is tls-unique up to TLS 1.2 and tls-exporter (RFC
// 9266, Section 4) since TLS 1.3 has no tls-unique. A CSR without challengePassword passes: most clients send none.
//
// The error is an [*Error] with [ReasonLinkMismatch] and status 400: no credential would help, so it is not 401.
func (r *EnrollRequest) CheckLink() error {
	if r.CSR.ChallengePassword == "" {
		return nil
	}
	binding := channelBinding(r.Peer.TLS)
	want := base64.StdEncoding.EncodeToString(binding)
	// The whole value is compared: libest was seen to compare a prefix.
	if len(binding) > 0 && subtle.ConstantTimeCompare([]byte(want), []byte(r.CSR.ChallengePassword)) == 1 {
		return nil
	}
	return refuse(http.StatusBadRequest, ReasonLinkMismatch, "RFC 7030, Section 3.5",
		"The challengePassword is not the channel binding of this TLS connection: base64 of tls-unique in TLS 1.2, of tls-exporter in TLS 1.3. "+
			"Make the CSR after the handshake, or leave challengePassword out.")
}

// channelBinding returns nil where the connection has none that may be relied on.
func channelBinding(cs *tls.ConnectionState) []byte {
	switch {
	case cs == nil:
		return nil
	case cs.Version < tls.VersionTLS13:
		return cs.TLSUnique
	}
	b, err := cs.ExportKeyingMaterial(exporterLabel, []byte{}, exporterLength)
	if err != nil {
		return nil
	}
	return b
}

package masa

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"time"

	"github.com/briskest/briskest/voucher"
)

// DeviceState says whether vouchers are issued for a device.
type DeviceState string

// The states of a device. Every change between them is on the trail.
const (
	Known   DeviceState = "known"   // built by us
	Blocked DeviceState = "blocked" // stolen, recalled: no voucher until unblocked
)

// Device is one device that was built. It is one serial number of one product
// (RFC 8366, Section 5.3: a serial number need only be unique to its issuer).
type Device struct {
	ID           string      `json:"id"` // made by NewID
	Domain       string      `json:"domain"`
	Product      string      `json:"product"`
	SerialNumber string      `json:"serial_number"` // X520SerialNumber of the IDevID (RFC 8995, Section 2.3.1)
	State        DeviceState `json:"state"`
	Reason       string      `json:"reason,omitempty"` // why it is blocked, for people
	IDevID       []byte      `json:"idevid,omitempty"` // DER; nil until imported or first seen, then the only one taken
	Batch        string      `json:"batch,omitempty"`  // of the import
	Source       string      `json:"source"`           // who made the record: "import" or "voucher"
	CreatedAt    time.Time   `json:"created_at"`
	BlockedAt    time.Time   `json:"blocked_at,omitzero"`
	// KeyHash is the SHA-256 of the SubjectPublicKeyInfo of the IDevID, 32
	// bytes, for devices imported without their certificate: only one with that
	// key is taken. Nil for none.
	KeyHash []byte    `json:"key_sha256,omitempty"`
	BuiltAt time.Time `json:"built_at,omitzero"` // as the import said; zero for unknown
	// IDevIDSigned says which key was found to have signed IDevID: the SHA-256
	// of the SHA-256 of that SubjectPublicKeyInfo followed by IDevID. It is of
	// these bytes and of no others. Nil while it has not been verified.
	IDevIDSigned []byte `json:"idevid_signed,omitempty"`
}

// builtAt is when the device was built, as far as is known: IDevIDs are made
// with the device, and imports follow.
func (d *Device) builtAt() time.Time {
	if !d.BuiltAt.IsZero() {
		return d.BuiltAt
	}
	if cert, err := x509.ParseCertificate(d.IDevID); err == nil {
		return cert.NotBefore
	}
	return d.CreatedAt
}

// Owner is a claim that a device belongs to the domain of one CA. The CA is
// named by the SHA-256 of its key, the SHA-256 of its certificate, or its
// domainID; at least one is there.
type Owner struct {
	ID          string    `json:"id"` // made by NewID
	Domain      string    `json:"domain"`
	DeviceID    string    `json:"device_id"`
	Name        string    `json:"name,omitempty"`        // of the customer, for people
	KeyHash     []byte    `json:"key_sha256,omitempty"`  // of the CA's SubjectPublicKeyInfo; 32 bytes or nil
	Fingerprint []byte    `json:"fingerprint,omitempty"` // SHA-256 of the CA certificate; 32 bytes or nil
	DomainID    []byte    `json:"domain_id,omitempty"`   // RFC 8995, Section 5.8.2; nil when not claimed by it
	Since       time.Time `json:"since"`
	Until       time.Time `json:"until,omitzero"`   // zero while it holds; a former owner still reads the audit-log
	Source      string    `json:"source,omitempty"` // how it is known: "sale" or "claim"
	// RegistrarURL is the owner's registrar, for devices that ask in the cloud,
	// and ESTDomain the server they are sent to with a voucher (rfc8366bis,
	// Section 8.4). Absolute https URLs, or empty.
	RegistrarURL string `json:"registrar_url,omitempty"`
	ESTDomain    string `json:"est_domain,omitempty"`
}

// VoucherState says where an issuance stands.
type VoucherState string

// The states of an issuance.
const (
	Intended VoucherState = "intended" // on record, signer not yet known to have answered
	Issued   VoucherState = "issued"   // signed and on record; may have left
	Failed   VoucherState = "failed"   // did not leave; the same request may be made again
)

// VoucherRecord is one issuance, from intent to voucher. Issued ones are what
// the audit-log is made of.
type VoucherRecord struct {
	ID           string            `json:"id"` // made by NewID
	Domain       string            `json:"domain"`
	DeviceID     string            `json:"device_id"`
	Product      string            `json:"product"`
	SerialNumber string            `json:"serial_number"`
	State        VoucherState      `json:"state"`
	Reason       string            `json:"reason,omitempty"` // reason id when failed
	Assertion    voucher.Assertion `json:"assertion"`
	// Nonce is the one echoed, empty for none. A device has one record for each.
	Nonce       string    `json:"nonce,omitempty"`
	DomainID    []byte    `json:"domain_id"`  // of Pinned (RFC 8995, Section 5.8.2)
	Pinned      []byte    `json:"pinned"`     // the certificate pinned, DER
	PinnedKey   [32]byte  `json:"-"`          // SHA-256 of the SubjectPublicKeyInfo of the domain CA, which is Pinned or above it
	Request     []byte    `json:"-"`          // the registrar's artifact as received, the pledge's within it
	RequestHash [32]byte  `json:"-"`          // SHA-256 of Request
	MediaType   string    `json:"media_type"` // of Voucher
	Voucher     []byte    `json:"-"`          // as signed; nil until issued
	Address     string    `json:"address"`    // the registrar's; empty in process
	Version     string    `json:"version"`    // of the settings that decided
	At          time.Time `json:"at"`         // created-on
	ExpiresOn   time.Time `json:"expires_on,omitzero"`
}

// NewID returns 32 lower-case hex digits: the time in milliseconds and 80
// random bits, so that rows are in the order in which they came.
func NewID(at time.Time) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(at.UnixMilli())<<16) //nolint:gosec // after 1970
	rand.Read(b[6:])                                              // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// newIDs returns so many IDs of one moment, in order. Devices of a list are
// sold and onboarded together: what is on record about them then lies together.
func newIDs(at time.Time, n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = NewID(at)
	}
	slices.Sort(ids)
	return ids
}

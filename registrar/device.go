package registrar

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"time"

	"github.com/briskest/briskest/est"
)

// DefaultDomain is the domain that everything belongs to until there are more.
const DefaultDomain = "default"

// DeviceState is where a device stands in its life.
type DeviceState string

// The states of a device. Every change between them is on the trail.
const (
	Expected       DeviceState = "expected"       // imported, never seen
	Vouched        DeviceState = "vouched"        // has a voucher for this domain
	Enrolled       DeviceState = "enrolled"       // holds a certificate of ours
	Suspended      DeviceState = "suspended"      // may authenticate nothing until resumed
	Decommissioned DeviceState = "decommissioned" // left; comes back only by name
)

// Device is one inventory record. A device is one manufacturer's serial
// number; devices without an IDevID have an empty Manufacturer and are known by
// the name they enroll under.
type Device struct {
	ID           string // 32 lower-case hex digits, time-ordered, made by NewID
	Domain       string
	Manufacturer string // name in the configuration; empty without an IDevID
	SerialNumber string // X520SerialNumber of the IDevID (RFC 8995, Section 2.3.1), or the enrolled name
	State        DeviceState
	IDevID       []byte // DER, when seen or imported; nil otherwise
	Source       string // who made the record: "import", "voucher", "enroll"
	CreatedAt    time.Time
	SeenAt       time.Time // last time it got something, to the hour; zero for never

	// What the manufacturer, or an operator, said of it; empty where nobody did.
	Model    string
	Firmware string // its version
	Batch    string // of manufacturing
	// HardwareModule is the hwType as dotted numbers, ":" and the hwSerialNum in
	// lower-case hex (RFC 4108, Section 5), of the IDevID's HardwareModuleName or the import.
	HardwareModule string
	SecureElement  string // its identifier
	TPM            string // SHA-256, in hex, of the endorsement key's SubjectPublicKeyInfo
	// Attributes are the operator's own: at most MaxAttributes. Nobody changes the
	// map of a Device; another takes its place.
	Attributes  map[string]string
	Group       string // the name of the group that it is in; "" for none
	GroupPinned bool   // an operator put it there by name; rules do not move it
}

// sourceResponder is the Source of the record that an OCSP responder's certificates belong to.
const sourceResponder = "responder"

// Counts tells whether the device is one of those that a domain's quota bounds: one that
// was not decommissioned, and that is not the registrar's own OCSP responder.
func (d *Device) Counts() bool { return d.State != Decommissioned && d.Source != sourceResponder }

// Limits of what is kept of a device, in bytes but for the first.
const (
	MaxAttributes     = 64
	MaxAttributeKey   = 64
	MaxAttributeValue = 256
	MaxDetail         = 128 // of each of the other texts
)

// CertificateStatus is where an issuance stands.
type CertificateStatus string

// The statuses of an issuance.
const (
	Intended  CertificateStatus = "intended"  // on record, signer not yet known to have answered
	Issued    CertificateStatus = "issued"    // signed and on record
	Abandoned CertificateStatus = "abandoned" // intent without a certificate, explained by the start-up pass
	Revoked   CertificateStatus = "revoked"
)

// Certificate is one issuance, from intent to revocation.
type Certificate struct {
	Domain string
	ID     string // NewID; of rows from before there were several issuers the serial number in hex; unique in a domain
	Issuer string // its name in the configuration; empty for a row from before that was not adopted
	// Authority is the CA key that signed it, see AuthorityOf. Empty: not known yet.
	Authority string
	// Serial is big-endian and minimal; unique with Domain and Authority. Nil as long as another CA has not chosen it.
	Serial []byte
	// Elsewhere says that another CA chooses, or chose, the serial number.
	Elsewhere    bool
	DeviceID     string
	Status       CertificateStatus
	Profile      string
	Version      string   // of the profile
	Operation    string   // "simpleenroll", "simplereenroll"
	Subject      string   // RFC 4514, Section 2
	TBSHash      [32]byte // of the intent
	KeyHash      [32]byte // SHA-256 of the SubjectPublicKeyInfo
	NamesHash    [32]byte // SHA-256 over subject and SAN as decided; equal names, equal hash
	Credential   string   // what authenticated the request: "basic:USER", "cert:SHA256HEX"
	NotBefore    time.Time
	NotAfter     time.Time
	Raw          []byte // DER; nil until issued
	IntendedAt   time.Time
	IssuedAt     time.Time
	RevokedAt    time.Time // zero unless revoked, or released from a hold: when
	RevokeReason int       // CRLReason (RFC 5280, Section 5.3.1); removeFromCRL of one that was released
	Explanation  string    // of an abandoned intent
}

// OnHold tells whether the certificate is revoked for the time being.
func (c *Certificate) OnHold() bool { return c.Status == Revoked && c.RevokeReason == ReasonHold }

// CRLReasons with a meaning of their own (RFC 5280, Section 5.3.1).
const (
	ReasonHold    = 6 // certificateHold: may be released
	ReasonRelease = 8 // removeFromCRL: it was
)

// AuthorityOf names the key of a CA: 40 lower-case hex digits of the SHA-256 of
// its SubjectPublicKeyInfo. Names of CAs and key identifiers can be chosen freely.
func AuthorityOf(issuing *x509.Certificate) string {
	sum := sha256.Sum256(issuing.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:20])
}

// Outstanding is an issuance that another CA has not finished, or whose device
// has not come back for the certificate.
type Outstanding struct {
	Domain  string
	ID      string // of the Certificate
	CSR     []byte // that was passed on; DER
	Decided []byte // what was decided; only the Service reads it
	State   []byte // of the newest ca.Later
}

// Untold is a revocation, hold or release that the CA has not been told of.
type Untold struct {
	Domain string
	ID     string // of the Certificate
	At     time.Time
	Reason int // CRLReason; ReasonRelease ends a hold
}

// VoucherRecord is one voucher exchange with every artifact that led to it.
type VoucherRecord struct {
	ID              string // NewID
	Domain          string
	DeviceID        string
	Manufacturer    string
	SerialNumber    string
	Nonce           string
	PledgeRequest   []byte // as received
	RegistrarReq    []byte // as sent to the MASA
	Voucher         []byte // as received; nil until the MASA answered
	AuditLog        []byte // as received; nil when there is none
	MediaType       string
	RequestHash     [32]byte // SHA-256 of PledgeRequest; one record each
	State           string   // "asked", "issued", "held", "refused", "failed"
	Reason          string   // reason id when held, refused or failed
	At              time.Time
	PledgeStatus    []byte // voucher_status telemetry as received; nil until then
	EnrollmentState []byte // enrollstatus telemetry as received; nil until then
}

// Violates tells whether the exchange ended, or waits, because of what the
// device's audit-log says: nothing is issued to the device then, whatever else a
// label asks for (RFC 8995, Section 5.8.3). A nil record does not.
func (r *VoucherRecord) Violates() bool {
	if r == nil {
		return false
	}
	switch r.State {
	case voucherHeld:
		return true
	case voucherRefused:
		switch r.Reason {
		case ReasonAuditLog, ReasonOtherDomains, ReasonNonceless, ReasonEarlierEntry, ReasonApprovalDenied:
			return true
		}
	}
	return false
}

// Pending is a request that waits for somebody's decision, or a sighting that
// an operator should look at (an unknown manufacturer).
type Pending struct {
	ID           string // NewID
	Domain       string
	Kind         string // "voucher", "audit-log", "enroll", "unknown-manufacturer"
	Key          string // what the same request has in common with its repetition; unique with Domain and Kind
	Manufacturer string
	SerialNumber string
	Subject      string // RFC 4514, Section 2; for people
	Address      string
	Evidence     []byte // CSR, voucher-request or IDevID, as received
	State        string // "waiting", "approved", "denied"
	Reason       string // of a denial, from the operator; or the reason id of the sighting or of what the audit-log says
	Seen         int64  // how often it was asked
	FirstAt      time.Time
	LastAt       time.Time
	DecidedAt    time.Time
	DecidedBy    string
	ExpiresAt    time.Time // when an operator's approval ends; told by Service.ListPending, not stored
}

// Credential lets devices without a certificate enroll by HTTP Basic, and by
// Digest where it has HA1 or HA1MD5.
type Credential struct {
	Domain    string
	User      string
	Scheme    string // "sha256" for generated secrets, "argon2id" for people's passwords
	Salt      []byte
	Digest    []byte
	Group     bool // may enroll any name its label's profile allows, not just its own
	Disabled  bool
	CreatedAt time.Time
	// Realm is that of HA1 and HA1MD5, which whoever reads them can use like the
	// password in that realm (RFC 7616, Section 5.13). Empty: none are kept.
	Realm  string
	HA1    est.Secret // SHA-256, in hexadecimal
	HA1MD5 est.Secret
}

// Code is a one-time enrollment code: whoever has it may enroll the device with
// that serial number, once.
type Code struct {
	Domain       string
	SerialNumber string // unique with Domain
	Digest       []byte // SHA-256 of the code, which is random
	CreatedAt    time.Time
	ExpiresAt    time.Time
	Revoked      bool
	SpentAt      time.Time // zero: not yet
	SpentKey     [32]byte  // KeyHash and NamesHash of the certificate that it was spent for
	SpentNames   [32]byte
}

// Spent tells whether a certificate was issued for the code.
func (k *Code) Spent() bool { return !k.SpentAt.IsZero() }

// For tells whether the code is good for that key and those names: not revoked,
// and spent for no others. Its end is not looked at.
func (k *Code) For(key, names [32]byte) bool {
	return !k.Revoked && (!k.Spent() || k.SpentKey == key && k.SpentNames == names)
}

// Spending spends a code for a key and names.
type Spending struct {
	Domain, SerialNumber string
	Digest               []byte // of the code that was given
	KeyHash, NamesHash   [32]byte
	At                   time.Time
}

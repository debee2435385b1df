package registrar

import (
	"context"
	"errors"
	"time"

	"github.com/briskest/briskest/internal/trail"
)

// Errors of a Store.
var (
	ErrNotFound = errors.New("registrar: not on record")
	// ErrConflict says that a row the Change relied on was not as it said
	// (a serial number or device name taken, a status already moved on).
	ErrConflict = errors.New("registrar: the record changed meanwhile")
	// ErrFull says that a domain would hold more devices than it may (Limits.Devices).
	ErrFull = errors.New("the domain holds as many devices as it may")
)

// Committer writes.
//
// Commit applies the whole Change or nothing, and returns once it is durable.
// Concurrent calls share a disk sync. The trail entries are appended in the
// same transaction. An error that wraps ErrConflict leaves everything as it
// was. Commit ignores the cancellation of ctx once the change has been taken
// up, so that its answer is always the truth.
type Committer interface {
	Commit(ctx context.Context, c *Change) error
}

// Change is one transaction. Nil and empty fields do nothing. Rows are applied
// in the order of the fields.
type Change struct {
	// Quota is looked at after PutDevices and AddDevices: ErrFull where its domain
	// holds more devices than before, and more than it may. Nil: any number.
	Quota *DeviceQuota
	// Unclaimed are names that no device on record may have, of whatever
	// manufacturer; ErrConflict otherwise. They are looked at first.
	Unclaimed []DeviceName
	// NoIDevIDs are names that no device with a manufacturer may have, as
	// Devices.FindIDevIDs finds them; ErrConflict otherwise.
	NoIDevIDs []DeviceName
	// PutDevices inserts or replaces by ID. Inserting a second device of the
	// same domain, manufacturer and serial number is ErrConflict. The group of a device
	// that is on record stays as it is: only Regroup changes it.
	PutDevices []*Device
	// AddDevices inserts, many at a time; ErrConflict when an ID, or a name in the
	// domain, is on record. It is for imports: sorted by serial number they cost least.
	AddDevices []*Device
	// Regroup moves devices on record that are as each says; others are left alone.
	Regroup []*Regrouping
	// PutGroups inserts the version after the newest of its domain, or says how far that
	// was applied; ErrConflict for others.
	PutGroups []*GroupDocument
	// PutBaselines inserts the version after the newest of its domain and group;
	// ErrConflict for others.
	PutBaselines []*BaselineDocument
	// PutDeliveries inserts or replaces by domain and device.
	PutDeliveries []*BaselineDelivery
	// PutOwners inserts or replaces by domain and device.
	PutOwners []*DeviceOwner
	// Intents inserts certificates in status Intended. ErrConflict: an ID, or an
	// authority's serial number, already on record, or a key of which a certificate
	// of the domain was revoked with keyCompromise, cACompromise or aACompromise
	// (RFC 5280, Section 5.3.1).
	Intents []*Certificate
	// Issued moves intents to Issued, setting Raw and IssuedAt, and where another
	// CA chose it Serial and Authority; ErrConflict unless the row is Intended, or
	// when the authority's serial number is on record.
	Issued []*Certificate
	// Abandoned moves intents to Abandoned with their Explanation.
	Abandoned []*Certificate
	// Revoked moves certificates to Revoked; ErrConflict unless Issued or on hold.
	Revoked []*Certificate
	// Released moves certificates on hold to Issued, with the time in RevokedAt and
	// ReasonRelease; ErrConflict unless on hold.
	Released []*Certificate
	// Adopted sets Issuer and Authority of rows from before there were several
	// issuers; ErrConflict unless the row is such and has none.
	Adopted []*Certificate
	// PutOutstanding inserts or replaces by ID; DropOutstanding removes by ID what is there.
	PutOutstanding  []*Outstanding
	DropOutstanding []*Outstanding
	// PutUntold inserts or replaces by ID; DropUntold removes what is there with
	// that ID, time and reason.
	PutUntold  []*Untold
	DropUntold []*Untold
	// PutVouchers inserts or replaces by ID. A second exchange for one request is
	// ErrConflict, and so is one in state "asked" with the nonce of another
	// exchange of the same device (RFC 8995, Section 5.2).
	PutVouchers []*VoucherRecord
	// PutAhead inserts or replaces by ID.
	PutAhead []*AheadVoucher
	// PutPending inserts or replaces by ID; a second row of the same domain,
	// kind and key is ErrConflict.
	PutPending []*Pending
	// PutCredentials inserts or replaces by domain and user.
	PutCredentials []*Credential
	// PutCodes inserts or replaces by domain and serial number.
	PutCodes []*Code
	// Spendable are codes that have to be on record with that digest and good for
	// that key and those names (Code.For); ErrConflict otherwise. Nothing is written.
	Spendable []*Spending
	// Spend does the same and spends them; one that is spent already stays as it is.
	Spend []*Spending
	// PutQuarantines inserts or replaces by ID.
	PutQuarantines []*Quarantine
	// PutPartitions inserts what is not there.
	PutPartitions []*CRLPartitions
	// PutCRL replaces the list of the same scope. Its number is higher than that of
	// each list before of the same authority and partition, delta or not; ErrConflict otherwise.
	PutCRL *CRL
	// PutAPITokens inserts or replaces by domain and ID.
	PutAPITokens []*APIToken
	// BeginReply inserts, in place of one that is older than ReplyLifetime; ErrConflict when there is another. The
	// principal's replies beyond the newest MaxReplies are dropped.
	BeginReply *Reply
	// EndReply replaces, or removes where its Status is 0.
	EndReply *Reply
	// Trail is appended last.
	Trail []*trail.Entry
}

// DeviceQuota is how many devices a domain may hold, of those that count (Device.Counts).
type DeviceQuota struct {
	Domain  string
	Devices int
}

// DeviceName is a serial number in a domain.
type DeviceName struct{ Domain, SerialNumber string }

// Devices reads the inventory. A missing row is ErrNotFound.
type Devices interface {
	Device(ctx context.Context, domain, id string) (*Device, error)
	DeviceBySerialNumber(ctx context.Context, domain, manufacturer, serialNumber string) (*Device, error)
	// FindDevices returns devices of any manufacturer with that serial number.
	FindDevices(ctx context.Context, domain, serialNumber string) ([]*Device, error)
	// FindIDevIDs returns devices that have a manufacturer and that serial
	// number, but for the case of ASCII letters.
	FindIDevIDs(ctx context.Context, domain, serialNumber string) ([]*Device, error)
	// ListDevices returns up to limit devices in order of ID, after the given ID ("" for the start).
	ListDevices(ctx context.Context, domain, after string, limit int) ([]*Device, error)
}

// Inventory reads many devices at once.
type Inventory interface {
	// QueryDevices returns devices that match the query, up to its limit. A page may
	// be short although more follow: what it costs is bounded. Whether more follow,
	// Next says. A cursor of another kind of query is ErrInvalid.
	QueryDevices(ctx context.Context, q *DeviceQuery) (*DevicePage, error)
	// DevicesNamed returns the devices of that manufacturer with those serial
	// numbers, in no order; what is not on record is left out. At most 10000 names.
	DevicesNamed(ctx context.Context, domain, manufacturer string, serialNumbers []string) ([]*Device, error)
	// CountDevices returns how many devices of the domain count (Device.Counts), at a cost
	// that does not grow with them.
	CountDevices(ctx context.Context, domain string) (int, error)
}

// Certificates reads issuances. A missing row is ErrNotFound.
type Certificates interface {
	Certificate(ctx context.Context, domain, id string) (*Certificate, error)
	// CertificateOf returns the row of exactly that certificate: serial is its
	// serial number and raw its DER.
	CertificateOf(ctx context.Context, domain string, serial, raw []byte) (*Certificate, error)
	// CurrentCertificate returns the newest certificate of the device with
	// that key and those names in status Issued.
	CurrentCertificate(ctx context.Context, q *CurrentQuery) (*Certificate, error)
	// ListCertificates returns up to limit rows matching the query in order of ID,
	// which is the order in which they were asked for.
	ListCertificates(ctx context.Context, q *CertificateQuery) ([]*Certificate, error)
}

// Unfinished reads what is to be gone on with; the cost does not grow with what is finished.
type Unfinished interface {
	// OpenIntents returns the rows in status Intended, over all domains.
	OpenIntents(ctx context.Context) ([]*Certificate, error)
	// Outstanding returns one, or ErrNotFound.
	Outstanding(ctx context.Context, domain, id string) (*Outstanding, error)
	// ListOutstanding returns all rows, over all domains, in order of ID.
	ListOutstanding(ctx context.Context) ([]*Outstanding, error)
	// ListUntold returns up to limit rows in order of ID, after the given ID ("" for the start).
	ListUntold(ctx context.Context, domain, after string, limit int) ([]*Untold, error)
}

// CurrentQuery names what "asking again" has in common.
type CurrentQuery struct {
	Domain    string
	DeviceID  string
	KeyHash   [32]byte
	NamesHash [32]byte
}

// CertificateQuery filters ListCertificates. Zero fields do not filter.
type CertificateQuery struct {
	Domain     string // required
	DeviceID   string
	KeyHash    []byte // 32 bytes
	Serial     []byte // of any authority
	Issuer     string
	Authority  string
	Profile    string
	Credential string
	Unadopted  bool // only issued rows from before there were several issuers whose Authority nobody has told
	Status     CertificateStatus
	After      string // ID, exclusive
	Limit      int    // 1 to 10000
}

// Vouchers reads voucher exchanges. A missing row is ErrNotFound.
type Vouchers interface {
	VoucherByRequest(ctx context.Context, domain string, requestHash [32]byte) (*VoucherRecord, error)
	// VoucherByNonce returns the device's newest exchange with that nonce, which is not empty.
	VoucherByNonce(ctx context.Context, domain, deviceID, nonce string) (*VoucherRecord, error)
	// LatestVoucher returns the device's newest exchange.
	LatestVoucher(ctx context.Context, domain, deviceID string) (*VoucherRecord, error)
	ListVouchers(ctx context.Context, domain, deviceID string) ([]*VoucherRecord, error)
	// UnansweredVouchers returns exchanges in state "asked", over all domains.
	UnansweredVouchers(ctx context.Context) ([]*VoucherRecord, error)
}

// AheadVouchers reads vouchers that were asked for ahead of their devices.
type AheadVouchers interface {
	// AheadVouchers returns those of a device, newest first.
	AheadVouchers(ctx context.Context, domain, deviceID string) ([]*AheadVoucher, error)
	// AheadVouchersDue returns up to limit rows in state AheadReady whose RenewAt
	// is set and not after the given time, the first to come first.
	AheadVouchersDue(ctx context.Context, domain string, at time.Time, limit int) ([]*AheadVoucher, error)
	// ListAheadVouchers returns up to limit rows in order of ID, after the given ID ("" for the start).
	ListAheadVouchers(ctx context.Context, domain, after string, limit int) ([]*AheadVoucher, error)
}

// Requests reads what waits for a decision. A missing row is ErrNotFound.
type Requests interface {
	Pending(ctx context.Context, domain, id string) (*Pending, error)
	PendingByKey(ctx context.Context, domain, kind, key string) (*Pending, error)
	// ListPending returns rows in the given state ("" for all), newest first, up to limit.
	ListPending(ctx context.Context, domain, state string, limit int) ([]*Pending, error)
	CountPending(ctx context.Context, domain string) (int, error)
}

// Credentials reads HTTP credentials. A missing row is ErrNotFound.
type Credentials interface {
	Credential(ctx context.Context, domain, user string) (*Credential, error)
	ListCredentials(ctx context.Context, domain string) ([]*Credential, error)
}

// Codes reads one-time enrollment codes. A missing row is ErrNotFound.
type Codes interface {
	Code(ctx context.Context, domain, serialNumber string) (*Code, error)
	// ListCodes returns up to limit codes in order of serial number, after the given one ("" for the start).
	ListCodes(ctx context.Context, domain, after string, limit int) ([]*Code, error)
}

// Trail reads the trail.
type Trail interface {
	// TrailEntries returns up to limit entries with a sequence number of at
	// least from; device "" does not filter.
	TrailEntries(ctx context.Context, domain, device string, from int64, limit int) ([]*trail.Entry, error)
}

// Owners reads whose devices are. A missing row is ErrNotFound.
type Owners interface {
	DeviceOwner(ctx context.Context, domain, deviceID string) (*DeviceOwner, error)
}

// GroupDocuments reads what groups there are. A missing row is ErrNotFound.
type GroupDocuments interface {
	// GroupDocument returns a version; the newest for 0.
	GroupDocument(ctx context.Context, domain string, version int64) (*GroupDocument, error)
	// ListGroupDocuments returns up to limit versions before the given one, 0 for the
	// newest, the newest first and without their documents.
	ListGroupDocuments(ctx context.Context, domain string, before int64, limit int) ([]*GroupDocument, error)
}

// QuarantineRecords reads what was put into quarantine.
type QuarantineRecords interface {
	// Quarantines returns those of a domain in order of ID, or only those in force.
	Quarantines(ctx context.Context, domain string, inForce bool) ([]*Quarantine, error)
}

// BaselineRecords reads what devices are to be configured with, and were given. A
// missing row is ErrNotFound.
type BaselineRecords interface {
	// BaselineDocument returns a version of a group's document; the newest for 0.
	BaselineDocument(ctx context.Context, domain, group string, version int64) (*BaselineDocument, error)
	// ListBaselines returns the newest version of each group in order of the groups'
	// names, without the documents.
	ListBaselines(ctx context.Context, domain string) ([]*BaselineDocument, error)
	// BaselineVersions returns up to limit versions of a group before the given one, 0
	// for the newest, the newest first and without their documents.
	BaselineVersions(ctx context.Context, domain, group string, before int64, limit int) ([]*BaselineDocument, error)
	BaselineDelivery(ctx context.Context, domain, deviceID string) (*BaselineDelivery, error)
	// CountBaselines counts the deliveries of a domain in order of group, version and status.
	CountBaselines(ctx context.Context, domain string) ([]*BaselineCount, error)
}

// Store is all of a registrar's record keeping.
type Store interface {
	Committer
	Devices
	Inventory
	Walks
	Certificates
	Unfinished
	CRLs
	Vouchers
	AheadVouchers
	Requests
	Credentials
	Codes
	Owners
	GroupDocuments
	APIRecords
	QuarantineRecords
	BaselineRecords
	Trail
}

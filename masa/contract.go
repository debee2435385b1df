package masa

import (
	"context"
	"errors"

	"github.com/briskest/briskest/internal/trail"
)

// Errors of a Store and of the operator methods.
var (
	// ErrNotFound says that there is no such row.
	ErrNotFound = errors.New("masa: not on record")
	// ErrConflict says that a row the change relied on was not as it said: a
	// serial number or nonce taken, a status already moved on.
	ErrConflict = errors.New("masa: the record changed meanwhile")
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
// in the order of the fields. Commit keeps nothing of it.
type Change struct {
	// PutDevices inserts or replaces by domain and ID. A second device of the
	// same domain, product and serial number is ErrConflict.
	PutDevices []*Device
	// PutOwners inserts or replaces by domain and ID.
	PutOwners []*Owner
	// PutClaims inserts or replaces by domain and ID. Replacing one that was
	// redeemed or has ended is ErrConflict.
	PutClaims []*Claim
	// PutRestores inserts or replaces by domain and ID.
	PutRestores []*Restore
	// Intents inserts issuances in state Intended, or replaces those with
	// their ID. Replacing one that is Issued is ErrConflict, and so is a
	// second one with the same domain, device and nonce (of those that have a
	// nonce).
	Intents []*VoucherRecord
	// Issued moves issuances to Issued, setting Voucher; ErrConflict unless
	// the row is Intended and has the same RequestHash, MediaType and At: another
	// process may have replaced the intent by its own.
	Issued []*VoucherRecord
	// Failed moves issuances to Failed, setting Reason; ErrConflict as for Issued.
	Failed []*VoucherRecord
	// Trail is appended last.
	Trail []*trail.Entry
}

// Devices reads what was built. A missing row is ErrNotFound.
type Devices interface {
	Device(ctx context.Context, domain, id string) (*Device, error)
	DeviceBySerialNumber(ctx context.Context, domain, product, serialNumber string) (*Device, error)
	// FindDevices returns the devices of any product with that serial number, by ID.
	FindDevices(ctx context.Context, domain, serialNumber string) ([]*Device, error)
	// ListDevices returns up to limit devices in order of ID, after the given ID ("" for the start).
	ListDevices(ctx context.Context, domain, after string, limit int) ([]*Device, error)
}

// Owners reads ownership.
type Owners interface {
	// Owners returns the owners of a device in order of ID, those that ended included.
	Owners(ctx context.Context, domain, deviceID string) ([]*Owner, error)
	// Claims returns the claims of a device in order of ID, in any state.
	Claims(ctx context.Context, domain, deviceID string) ([]*Claim, error)
	// ClaimsByCode returns the claims with that code in order of ID, in any state.
	ClaimsByCode(ctx context.Context, domain string, codeHash [32]byte) ([]*Claim, error)
}

// Vouchers reads issuances. A missing row is ErrNotFound.
type Vouchers interface {
	VoucherByNonce(ctx context.Context, domain, deviceID, nonce string) (*VoucherRecord, error)
	// NoncelessByRequest returns the newest issuance without a nonce for those bytes.
	NoncelessByRequest(ctx context.Context, domain string, requestHash [32]byte) (*VoucherRecord, error)
	// DeviceVouchers returns the issued vouchers of a device, newest first, up
	// to limit (0 for all), without Request and Voucher.
	DeviceVouchers(ctx context.Context, domain, deviceID string, limit int) ([]*VoucherRecord, error)
	// ListVouchers returns up to limit issuances in order of ID, after the
	// given ID, in any state, without Request and Voucher.
	ListVouchers(ctx context.Context, domain, after string, limit int) ([]*VoucherRecord, error)
	// OpenIntents returns the rows in state Intended, over all domains; its
	// cost does not grow with the others.
	OpenIntents(ctx context.Context) ([]*VoucherRecord, error)
}

// Audited reads what audit-logs are made of. The cost of both does not grow
// with the vouchers.
type Audited interface {
	// HadVoucher tells whether a voucher for the device was issued to the domain
	// with that key ([VoucherRecord].PinnedKey).
	HadVoucher(ctx context.Context, domain, deviceID string, domainKey [32]byte) (bool, error)
	// NewestVouchers returns the newest issued voucher of the device for each
	// PinnedKey and DomainID, with a nonce and without, newest first, up to
	// limit, without Request and Voucher. Rest is how many vouchers those have
	// that are beyond the limit; it looks at 1024 of them.
	NewestVouchers(ctx context.Context, domain, deviceID string, limit int) (newest []*DomainVouchers, rest int, err error)
}

// DomainVouchers are the vouchers with a nonce, or those without, that a domain
// got for a device.
type DomainVouchers struct {
	Newest *VoucherRecord
	Issued int // how many there are, Newest included
}

// Trail reads the trail.
type Trail interface {
	// TrailEntries returns up to limit entries with a sequence number of at
	// least from; device "" does not filter.
	TrailEntries(ctx context.Context, domain, device string, from int64, limit int) ([]*trail.Entry, error)
}

// Restores reads restores.
type Restores interface {
	// Restores returns the restores of all domains in order of ID.
	Restores(ctx context.Context) ([]*Restore, error)
}

// Store is all of a MASA's record keeping. Implementations pass
// masa/storetest.TestStore.
type Store interface {
	Committer
	Devices
	Owners
	Vouchers
	Audited
	Restores
	Trail
}

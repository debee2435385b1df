package registrar

import (
	"crypto/sha256"
	"time"

	"github.com/briskest/briskest/voucher"
)

// Baselines makes what devices are given of baseline documents;
// registrar/baseline has the one that is used. Safe for concurrent use.
type Baselines interface {
	// Check says what is wrong with a document, for its operator.
	Check(document []byte) error
	// Text makes what is signed for one device. Equal facts have equal texts.
	Text(f *BaselineFacts) ([]byte, error)
}

// MaxBaseline bounds a baseline document, in bytes.
const MaxBaseline = 64 << 10

// BaselineFacts are what a device's text is made of.
type BaselineFacts struct {
	Domain   string
	Document *BaselineDocument
	Device   *Device
	// Name is what the certificate that the device shows is known by, see [EnrolledName].
	Name  string
	Group *Group // that the device is in; nil for none
	// Version is the device's own number of the text, and At when it got that.
	Version int64
	At      time.Time
}

// BaselineDocument is one version of what a group's devices are to be configured with.
type BaselineDocument struct {
	Domain   string
	Group    string // "": of the domain, for devices whose group has none
	Version  int64  // from 1
	Document []byte // at most MaxBaseline
	Actor    string
	Note     string
	Of       int64 // the version that this one is a copy of, by a rollback; 0: none
	At       time.Time
}

// BaselineDelivery is what a device was given last, and what it said of it.
type BaselineDelivery struct {
	Domain, DeviceID string
	// Version is the device's own number. It only rises, whatever document and group
	// the text comes from, also over a restored backup: devices refuse a lower one.
	Version         int64
	Group           string // whose document it was; "" for the domain's
	DocumentVersion int64
	Content         [32]byte // SHA-256 of the text but for its version and time
	SHA256          [32]byte // of the text
	At              time.Time
	Status          BaselineStatus
	Message         string    // of the device; at most 512 bytes
	AcknowledgedAt  time.Time // zero: it has not said anything
}

// BaselineStatus is what a device says of its baseline.
type BaselineStatus string

// The statuses. The zero value: it has not said anything yet.
const (
	BaselineDelivered BaselineStatus = ""
	BaselineReceived  BaselineStatus = "received" // verified and kept
	BaselineApplied   BaselineStatus = "applied"
	BaselineFailed    BaselineStatus = "failed" // refused, or not applied
)

// BaselineCount is how many devices were last given one version of a document and
// said the same of it.
type BaselineCount struct {
	Group           string
	DocumentVersion int64
	Status          BaselineStatus
	Devices         int
}

// BaselineText is what a device is given, to be signed.
type BaselineText struct {
	Version   int64
	SHA256    [32]byte // of Text
	Text      []byte   // nil where the device has it already
	Unchanged bool
	Signer    *voucher.Signer
}

// nextVersion is the device's number of the next text. It is of the clock, so that
// it does not fall behind what devices have when a backup was restored.
func (d *BaselineDelivery) nextVersion(at time.Time) int64 {
	if d == nil {
		return at.Unix()
	}
	return max(d.Version+1, at.Unix())
}

// textOf makes a text, and the digest by which it is told whether it would be the same now.
func textOf(by Baselines, f BaselineFacts) (text []byte, content [32]byte, err error) {
	bare := f
	bare.Version, bare.At = 0, time.Time{}
	same, err := by.Text(&bare)
	if err != nil {
		return nil, content, err
	}
	text, err = by.Text(&f)
	return text, sha256.Sum256(same), err
}

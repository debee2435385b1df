package registrar

import (
	"crypto/x509"
	"time"
)

// Grouping puts devices into groups; registrar/groups has the one that is used.
// It never changes and may be asked by many at once. Equal facts have equal answers.
type Grouping interface {
	// Place finds the group of a device by the rules: the first that matches, of
	// the highest priority. Empty group: none does. The rule is for people. A pin is
	// not looked at, see [Device.GroupPinned].
	Place(f *GroupFacts) (group, rule string)
	// Reads are what Place looks at of devices on record.
	Reads() DeviceFacts
	// Group returns a group by name; nil for none. It must not be changed.
	Group(name string) *Group
	// Groups returns all of them in the order in which they are asked.
	Groups() []*Group
	// Explain says of each group in that order, up to the one that matches, why it
	// does or does not.
	Explain(f *GroupFacts) []GroupVerdict
}

// GroupVerdict is what one group's rule says about a device.
type GroupVerdict struct {
	Group   string
	Matched bool
	Text    string // the rule, and where it could not be evaluated why
}

// GroupDecision is what becomes of enrollments and voucher-requests of a group's
// devices before the label's rules are asked. The zero value leaves it to those.
type GroupDecision string

// The decisions. None but GroupDeny is about renewals, or devices that show the key of the
// certificate that they have.
const (
	GroupAllow   GroupDecision = ""
	GroupDeny    GroupDecision = "deny"
	GroupApprove GroupDecision = "approve" // an operator decides
	GroupAsk     GroupDecision = "webhook" // the label's or manufacturer's Ask decides
)

// Group is what devices have in common.
type Group struct {
	Name          string
	Priority      int
	Description   string
	Decision      GroupDecision
	Profile       string            // of Settings.Profiles; empty for the label's
	Lifetime      time.Duration     // of certificates, at most; 0 for what the profile says
	RenewalWindow time.Duration     // before the end of a certificate; 0 for what the profile says
	Names         map[string]string // for the profile's templates: {attribute.group_KEY}
	Applications  map[string]*Application
	Baseline      string // reference of a baseline document; empty for none
	// Pinned says that only operators put devices into it, by name: it has no rule.
	Pinned bool
	// Unmet returns the first requirement that a device does not meet; nil for none.
	// One that cannot be evaluated is not met. Nil: there are none.
	Unmet func(f *GroupFacts) *Requirement
}

// Application is an entitlement of a group's devices: what they are to one
// application. Values are as in the document, and mean something to who reads them.
type Application struct {
	Profile   string   // of the application's certificate; empty for the group's
	Names     []string // that the devices have there
	Endpoints []string // URLs
	Publish   []string // topics
	Subscribe []string
}

// Requirement is a condition that devices of a group have to meet.
type Requirement struct {
	Name    string // unique in its group
	Rule    string // for people
	Message string // what to do about it; empty for nothing more than the rule
}

// GroupFacts are what rules can say something about. Whom each may be believed:
//
//   - Device is what operators and manufacturers put on record; in self-made
//     records (see [GroupFacts.SelfNamed]) its name is not a fact.
//   - IDevID is signed by the manufacturer and proven by its key.
//   - Auth is how the request authenticated, verified.
//   - Request is what the peer says, and nobody vouches for.
type GroupFacts struct {
	Device *Device // nil: not on record
	// IDevID returns the device's verified IDevID; nil for none. The func may be nil.
	IDevID func() *x509.Certificate
	// Auth and Request are of the device's first contact and, for requirements, of
	// each request; nil where there is no request. A rule that needs them then
	// matches for devices that are in its group.
	Auth    *AuthFacts
	Request *RequestFacts
}

// AuthFacts are how a request authenticated.
type AuthFacts struct {
	Method string // IdentityKind
	User   string // for whom the credential is; empty for a group's, and for certificates
}

// RequestFacts are what a request says.
type RequestFacts struct {
	Name      string // that it enrolls, or the IDevID's serial number
	Label     string // of the URL
	Operation string
	Road      string
	Address   string // IP
	KeyType   string // "ecdsa", "rsa", "ed25519"; empty where there is no key
	KeyBits   int
}

// GroupDocument is one version of what groups a domain has.
type GroupDocument struct {
	Domain   string
	Version  int64 // from 1
	Document []byte
	Actor    string
	Note     string
	Of       int64 // the version that this one is a copy of, by a rollback; 0: none
	At       time.Time
	Applied  bool // every device has been moved
	Moved    int64
}

// Regrouping moves a device on record from one group to another, if it is there and
// pinned, or not, as FromPinned says.
type Regrouping struct {
	Domain, DeviceID string
	From             string
	FromPinned       bool
	Group            string
	Pinned           bool
}

// SelfNamed tells whether the device's record was made for a name that the device
// asked for, which may be anybody's choice.
func (f *GroupFacts) SelfNamed() bool {
	return f.Device != nil && f.Device.Manufacturer == "" && f.Device.Source != "import"
}

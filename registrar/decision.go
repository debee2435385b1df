package registrar

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net/netip"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/est"
)

// Verdict is the kind of a Decision. Its zero value denies.
type Verdict int

// The verdicts.
const (
	Deny Verdict = iota
	Allow
	Wait // for somebody's decision, see Decision.WaitFor
)

// String returns "deny", "allow" or "wait".
func (v Verdict) String() string {
	switch v {
	case Allow:
		return "allow"
	case Wait:
		return "wait"
	default:
		return "deny"
	}
}

// What a Wait waits for.
const (
	ForApproval = "approval" // an operator: Service.Approve and Deny
	ForWebhook  = "webhook"  // the label's or manufacturer's Ask
	ForMASA     = "masa"
	ForIssuer   = "issuer"
)

// Decision is what becomes of a Case.
type Decision struct {
	Verdict Verdict
	Reason  string // a reason id; see Reasons
	Rule    string // which rule decided
	Message string // for the person at the device; empty for the text of Reason
	Section string // empty for that of Reason
	Status  int    // HTTP; zero for that of Reason
	WaitFor string // of a Wait
	// Again answers with Case.Current and issues nothing.
	Again      bool
	Profile    string           // name; of an Allow
	Subject    pkix.RDNSequence // of an Allow
	Names      ca.Names         // of an Allow
	RetryAfter time.Duration    // of a Wait, or of a refusal that may pass
	Err        error            // the cause, for the log only
}

// Policy decides about a case, from the settings and the case alone: equal
// cases get equal decisions on every road. It must not keep or change c.
// registrar/policy has the one that is used.
type Policy func(s *Settings, c *Case) *Decision

// Ask has another system decide about c: Allow lets the policy's later rules
// decide, Wait comes with the time after which to ask again, and of a Deny reason
// and message count. It must not keep or change c, whose device is not locked
// meanwhile, and returns within a bounded time. An error is a refusal that may pass when tried again.
// The same question, see [Case.QuestionID], may be asked any number of times.
type Ask func(ctx context.Context, c *Case) (*Decision, error)

// The operations of a Case.
const (
	OpEnroll  = "simpleenroll"
	OpRenew   = "simplereenroll"
	OpVoucher = "requestvoucher"
	OpCSRAttr = "csrattrs" // OpKeyGen is an OpEnroll or an OpRenew with Case.Generate
	OpStatus  = "status"
	// OpFullCMC is a Full PKI Request (RFC 7030, Section 4.3) as a whole; each
	// certification request in it is an OpEnroll or OpRenew on the road "cmc".
	OpFullCMC = "fullcmc"
)

// Case holds the facts of one request. Fields that do not apply are zero.
type Case struct {
	RequestID string
	Domain    string
	Road      string // "est", "cmc", "brski", "operator"
	Operation string
	Posted    string // of a renewal: the operation it was posted to, where that may differ
	// Replayable says that the request proves who made it and not that he sends
	// it: a signed message that others may have a copy of.
	Replayable bool
	Label      *Label // of an EST request
	At         time.Time
	Address    netip.AddrPort
	Identity   Identity
	// Also are the other credentials of the request that were verified. Where the
	// label requires several together each of them must be good for the names.
	Also         []Identity
	Manufacturer *Manufacturer // of the IDevID

	// SerialNumber is that of the IDevID, or the name the request enrolls.
	SerialNumber string
	Device       *Device // inventory record; nil for none
	// NameOwner is a manufacturer's device whose serial number the request uses
	// as a name; of requests that neither its IDevID nor a certificate of ours for
	// the same names authenticates.
	NameOwner *Device
	Voucher   *VoucherRecord // newest exchange of Device; of one that comes with its IDevID

	// Generate is what is special about a request whose key is made here; nil for the others. CSR has no key then until the
	// case is decided.
	Generate *Generation

	CSR     *x509.CertificateRequest
	Subject pkix.RDNSequence // as the profile decided
	Names   ca.Names
	// NewNames are those of a ChangeSubjectName, which a renewal asks for where its
	// profile allows that (RFC 6402, Section 2.8); nil for none.
	NewNames  *est.NameChange
	KeyHash   [32]byte
	NamesHash [32]byte
	// KeyCompromised says that a certificate of the same key was revoked because
	// others have or may have the key.
	KeyCompromised bool
	// KeyElsewhere says that another device holds a certificate of the same key that is
	// valid or on hold; looked for where the profile refuses that.
	KeyElsewhere bool
	// Current is the certificate on record of the same device, key and names.
	Current *Certificate
	// Held are the device's certificates, loaded where the profile's rules need
	// them: the issued ones, and where renewals are counted those in any status.
	Held []*Certificate
	// Supposed says that Device and NameOwner are nil, and KeyCompromised is
	// false, without having been looked for; nothing is issued unless the record
	// turns out to say so too.
	Supposed bool
	// Own says that an operator wants a certificate for the registrar itself, and
	// another one where there is one.
	Own bool
	// Asked says that the other system, see Ask, has allowed the case.
	Asked bool
	// Placement is the group of the device; nil where there are no groups.
	Placement *Placement
	// Evidence is what is kept when the case has to wait: the CSR or
	// voucher-request as received. Nil for a CSR that holds a secret.
	Evidence []byte

	grouped  *Device           // the device that was placed; nil for none on record
	placedAs string            // the name that it was looked for by, where nobody authenticates as it
	owner    *Owner            // of the device, at a cloud registrar; nil for none
	answer   *Decision         // of Ask; nil until it was asked
	server   *x509.Certificate // of ours that a voucher-request says the pledge saw; nil for none
	shown    []byte            // the TLS client certificate, verified or not; nil for none
	conflict bool              // the leaves of a voucher-request that name the registrar contradict each other
	otp      est.Secret        // of the CSR (RFC 7894, Section 2.1)
}

// IdentityKind is how a peer has authenticated.
type IdentityKind string

// The kinds. The zero value is a peer that has not.
const (
	Basic       IdentityKind = "basic"  // HTTP Basic
	Digest      IdentityKind = "digest" // HTTP Digest, of the same credentials
	Bearer      IdentityKind = "bearer" // HTTP Bearer
	OneTimeCode IdentityKind = "code"   // a one-time enrollment code
	// SharedSecret is knowledge of a secret of Settings.CMC, proven by
	// Identity Proof V2 (RFC 5272, Section 6.2.1).
	SharedSecret IdentityKind = "shared-secret"
	IDevID       IdentityKind = "idevid"   // a manufacturer's certificate
	LDevID       IdentityKind = "ldevid"   // a certificate of ours
	RA           IdentityKind = "ra"       // a certificate of ours with id-kp-cmcRA
	Client       IdentityKind = "client"   // a certificate of the label's client anchors
	Operator     IdentityKind = "operator" // the operator's interface
)

// Identity is who asks, authenticated.
type Identity struct {
	Kind        IdentityKind
	Credential  string            // "basic:USER", "digest:USER", "bearer:NAME", "code:SERIAL", "secret:NAME", "cert:SHA256HEX", or the operator's name
	User        string            // of Basic, Digest and SharedSecret; of Bearer and OneTimeCode the device that they are for
	Group       bool              // of Basic, Digest and SharedSecret: may enroll any name the profile allows
	Certificate *x509.Certificate // of the others
	Record      *Certificate      // of LDevID and RA
	Device      *Device           // of LDevID and RA: whose certificate it is

	salt  []byte // of Basic and Digest: tells the credential on record from one that replaced it
	token *Token // of Bearer
	code  *Code  // of OneTimeCode
}

// deny returns a refusal with the text of its reason.
func deny(reason, rule string) *Decision { return &Decision{Reason: reason, Rule: rule} }

// denyText returns a refusal with a text of its own.
func denyText(reason, rule, message string) *Decision {
	return &Decision{Reason: reason, Rule: rule, Message: message}
}

// denyErr returns a refusal with its cause, for the log.
func denyErr(reason, rule string, err error) *Decision {
	return &Decision{Reason: reason, Rule: rule, Err: err}
}

// decided is the cause inside every est.Error of the service: what the
// observer and the trail want to know and the peer does not.
type decided struct {
	rule          string
	authenticated bool // the trail has it already
	domain        string
	device        string // ID or StrangerID
	serial        string
	identity      string
	err           error
}

func (d *decided) Error() string {
	if d.err != nil {
		return d.err.Error()
	}
	return "rule " + d.rule
}

func (d *decided) Unwrap() error { return d.err }

// answer turns a decision that is no plain Allow into what the peer gets.
func (d *Decision) answer(c *Case) *est.Error {
	text := Explain(d.Reason)
	e := &est.Error{
		Status: text.Status, Reason: text.ID, Message: text.Message, Section: text.Section, RetryAfter: d.RetryAfter,
		Err: &decided{
			rule: d.Rule, authenticated: c.Identity.Kind != "", domain: c.Domain, device: c.trailDevice(),
			serial: c.SerialNumber, identity: c.Identity.Credential, err: d.Err,
		},
	}
	if d.Status != 0 { // decided by a library with reason ids of its own
		e.Status, e.Reason = d.Status, d.Reason
	}
	if d.Message != "" {
		e.Message = ascii(d.Message)
	}
	if d.Section != "" {
		e.Section = d.Section
	}
	return e
}

// trailDevice is the device the trail files the case under.
func (c *Case) trailDevice() string {
	switch {
	case c.Device != nil:
		return c.Device.ID
	case c.SerialNumber == "":
		return ""
	case c.Manufacturer != nil:
		return StrangerID(c.Domain, c.Manufacturer.Name, c.SerialNumber)
	default:
		return StrangerID(c.Domain, "", c.SerialNumber)
	}
}

// ascii makes text fit for an answer: printable ASCII of at most 400 bytes.
func ascii(text string) string {
	const limit = 400
	b := make([]byte, 0, min(len(text), limit))
	for _, r := range text {
		if len(b) == limit {
			break
		}
		if r < ' ' || r > '~' {
			r = '?'
		}
		b = append(b, byte(r))
	}
	return string(b)
}

// denyAs refuses as a function of package est did.
func denyAs(err error, otherwise, rule string) *Decision {
	var e *est.Error
	if !errors.As(err, &e) {
		return denyErr(otherwise, rule, err)
	}
	return &Decision{Status: e.Status, Reason: e.Reason, Rule: rule, Message: e.Message, Section: e.Section, Err: e.Err}
}

// storeFailed is the refusal for a record that could not be read or written.
func storeFailed(rule string, err error) *Decision {
	if errors.Is(err, ErrFull) {
		return denyErr(ReasonDeviceQuota, "device-quota", err)
	}
	return &Decision{Reason: ReasonStore, Rule: rule, RetryAfter: 5 * time.Second, Err: err}
}

// found tells a missing row from a store that failed.
func found[T any](row *T, err error) (*T, error) {
	if errors.Is(err, ErrNotFound) {
		return nil, nil //nolint:nilnil // the caller wants "none" as a fact of the case
	}
	return row, err
}

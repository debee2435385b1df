package registrar

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"net/netip"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/revocation"
	"github.com/briskest/briskest/voucher"
)

// Settings is one version of the configuration. The zero value admits nobody.
// After it was given to New or Reload it must not change.
type Settings struct {
	Version string // named on the trail by every decision; free text
	Domain  string // that everything stored belongs to; empty for DefaultDomain
	// URL is where devices reach the registrar, https://HOST[:PORT], for links in
	// answers (RFC 8295, Section 2.1). Empty: links are relative to the server.
	URL string
	// Labels are the EST labels by name; the one named "" serves requests
	// without. A label named like an EST operation is refused (RFC 7030, Section 3.2.2).
	Labels map[string]*Label
	// Profiles are those that groups may name, by name.
	Profiles map[string]Profile
	// Manufacturers whose devices may join, by name.
	Manufacturers map[string]*Manufacturer

	// Cloud makes it a cloud registrar, without labels and issuer. Nil: it is none.
	Cloud *Cloud

	// Issuers are who issues, by name, which is at most 64 bytes. The one named DefaultIssuer has
	// to be there: labels that name none use it, and its root is what vouchers
	// pin. Without any, it is that of Config. Certificates of an issuer authenticate as long as it is here.
	Issuers map[string]ca.Issuer
	// DeviceAnchors are the CAs whose certificates devices renew with. Nil for
	// all that the issuers have in cacerts.
	DeviceAnchors *x509.CertPool

	// Signer signs voucher-requests; its Chain should hold the domain's CAs, so
	// that the MASA can pin the root (RFC 8995, Section 5.5). Required with
	// manufacturers.
	Signer *voucher.Signer
	// TLSCertificates are the leaves that the devices' port presents; the
	// pledge's proximity-registrar-cert is one of them. Empty for Signer's. Their
	// names and those of Signer's, but for loopback ones, are issued to operators only.
	TLSCertificates []*x509.Certificate
	// OwnProfile decides about the registrar's own certificates, where an operator
	// has the default issuer renew them. Nil: it does not.
	OwnProfile Profile
	// PinnedDomainCert is what vouchers are to pin. Nil for the last of the default issuer's chain.
	PinnedDomainCert *x509.Certificate
	// Formats are the voucher encodings spoken, the preferred one first.
	// Required with manufacturers.
	Formats []voucher.Format
	// DialMASA returns a client for the MASA at url (RFC 8995, Section 5.4).
	// Required with manufacturers.
	DialMASA func(m *Manufacturer, url string) (brski.MASA, error)

	// CMC is what the operation fullcmc needs; required where a label offers it
	// and there is no Signer.
	CMC *CMC
	// KeyEncryptionKeys are shared with devices, to encrypt with them the keys
	// that are made for them.
	KeyEncryptionKeys []*KeyEncryptionKey

	// Realm is what HTTP challenges are for; empty for DefaultRealm. What Digest
	// needs of a credential is kept for one realm: after a change credentials have
	// to be made anew.
	Realm string

	Limits Limits
	// CRLLifetime is how long a CRL is current; zero for seven days.
	CRLLifetime time.Duration
	// Lists says how others learn of revocations.
	Lists Lists
}

// Label is one EST label: who may use it, and what it issues.
type Label struct {
	Name    string // set from the key of Settings.Labels
	Profile Profile
	// Issuer is who issues, of Settings.Issuers; empty for DefaultIssuer. After a
	// change certificates of the one before renew here too.
	Issuer string
	// Basic lets devices enroll with an HTTP credential.
	Basic bool
	// Digest takes the same credentials by HTTP Digest with SHA-256 (RFC 7616).
	// Those that were made when no label took Digest do not have what it needs.
	Digest bool
	// DigestMD5 takes Digest with MD5, for libest and Bouncy Castle.
	DigestMD5 bool
	// Tokens verifies Bearer tokens (RFC 6750); nil takes none.
	Tokens VerifyToken
	// Codes takes one-time enrollment codes: by HTTP Basic, with the serial number
	// for the user, or as otpChallenge in the CSR (RFC 7894, Section 2.1).
	Codes bool
	// ClientAnchors are CAs of others whose certificates may enroll the names they
	// have; nil for none. None of their certificates is an RA's.
	ClientAnchors *x509.CertPool
	// ClientRevocation says whether their certificates are revoked. Nil has no
	// answer for any of them, and so refuses them all.
	ClientRevocation *revocation.Checker
	// Require names the methods that must come together for an enrollment. Empty:
	// one that the label takes is enough. Renewals need the certificate only.
	Require []Method
	// IDevID says when a manufacturer's certificate may enroll.
	IDevID IDevIDRule
	// RA lets certificates of ours with id-kp-cmcRA enroll others (RFC 7030, Section 3.7).
	RA bool
	// Renewal lets certificates of ours renew themselves, if Profile issued them.
	Renewal bool
	// Approval makes enrollments wait for an operator, but those for which the
	// device shows the key of the certificate it has. Renewals do not wait.
	Approval bool
	// Ask has another system decide about enrollments and renewals. Nil: nobody is asked.
	Ask Ask
	// AllowForeignNames lets IDevIDs and credentials that are no group
	// credentials choose any name the profile allows, and credentials and RAs
	// names of devices that have an IDevID.
	AllowForeignNames bool
	// Linking is LinkIfPresent, LinkRequired or LinkOff; empty for what the profile says.
	Linking string
	// Link says which binding is compared, and what becomes of the connection
	// then. Its Required and IgnorePassword are set by Linking.
	Link est.LinkPolicy
	// FullCMC offers Full PKI Requests (RFC 7030, Section 4.3) to all who may
	// enroll here otherwise.
	FullCMC bool
	// SharedSecret lets devices enroll with a shared secret of Settings.CMC.
	SharedSecret bool
	// Wanted are attributes that csrattrs names beside what the profile wants, such
	// as those of RFC 7894, Section 2.
	Wanted []asn1.ObjectIdentifier

	csrAttrs []byte // DER of a CsrAttrs; nil for none; made by Settings.check
}

// IDevIDRule says when a manufacturer's certificate may enroll by EST. The
// zero value is never.
type IDevIDRule string

// The rules. With both the device must not be suspended.
const (
	IDevIDNever     IDevIDRule = ""
	IDevIDVouched   IDevIDRule = "voucher"   // when its newest voucher exchange gave a voucher
	IDevIDInventory IDevIDRule = "inventory" // when its serial number is in the inventory
)

// Profile is what the registrar needs of a certificate profile;
// registrar/policy makes one of a profile.Profile. Safe for concurrent use.
type Profile interface {
	Name() string
	Version() string
	// Names decides subject and SubjectAltName. The error is for the person at
	// the device and holds no secrets.
	Names(f *Facts, csr *x509.CertificateRequest) (pkix.RDNSequence, ca.Names, error)
	// CheckKey refuses kinds of keys; the error as above.
	CheckKey(key crypto.PublicKey) error
	Rules() ProfileRules
}

// Facts is what the registrar knows of a device by its own records.
type Facts struct {
	DeviceID     string
	SerialNumber string // of the IDevID, the inventory, or the credential
	Manufacturer string
	Domain       string
	Label        string            // that was asked; empty for none
	Model        string            // as in the inventory
	Group        string            // that the device is in
	GroupNames   map[string]string // of the group; not to be changed
	// IDevID is the device's, when it is known; it may be read by many at once.
	IDevID func() *x509.Certificate
}

// ProfileRules are a profile's rules about requests.
type ProfileRules struct {
	Linking               string        // "if-present" (also when empty), "required" or "off" (RFC 7030, Section 3.5)
	AllowSameNameOtherKey bool          // a name that holds a certificate may enroll with another key
	ExpiredGrace          time.Duration // how long after its end a certificate renews itself
	MaxRenewals           int           // in a row; 0 for no limit
	RenewalWindow         time.Duration // before the end of a certificate; 0 for always
	RefuseSameKey         bool          // a renewal brings a new key
	RefuseSharedKey       bool          // nobody enrolls a key that another device holds a valid certificate of
	ChangeNames           bool          // a renewal may ask for other names (RFC 6402, Section 2.8)
	ServerKeys            string        // KeysCleartext or KeysEncrypted: whether keys are made here (RFC 7030, Section 4.4); empty for no
	ServerKeyType         string        // of the keys that are made here, as est.KeyType
	ServerKeyWishes       []string      // other kinds that a CSR with such a key may ask for
	CSR                   *est.CSRPlan  // what CSRs are to hold, without a link; nil for nothing; not to be changed
}

// UnlistedRule says what becomes of a device whose manufacturer is known and
// whose serial number is not. The zero value denies.
type UnlistedRule string

// The rules.
const (
	UnlistedDeny    UnlistedRule = "deny"
	UnlistedPending UnlistedRule = "pending" // an operator decides
	UnlistedAdmit   UnlistedRule = "admit"   // every device of the manufacturer is welcome
)

// Manufacturer is one vendor of devices.
type Manufacturer struct {
	Name           string         // set from the key of Settings.Manufacturers
	IDevIDAnchors  *x509.CertPool // the CAs its IDevIDs chain to; required
	VoucherAnchors *x509.CertPool // the CAs its vouchers' signers chain to; required
	// ManifestAnchors are the CAs that signers of its manufacturing manifests chain to; nil
	// takes none.
	ManifestAnchors *x509.CertPool
	MASAURL         string // replaces the one in the IDevIDs (RFC 8995, Section 5.4)
	// Offline says that its MASA is not asked: devices get the vouchers that were
	// imported for them (Service.ImportVoucher), which needs AllowNonceless.
	Offline      bool
	MASATLSRoots *x509.CertPool // for DialMASA: the CAs its MASA's TLS certificate chains to; nil for the system's
	Unlisted     UnlistedRule
	Join         []JoinRule // asked before the inventory and Unlisted; the first that is about a device decides
	// Assertions that its vouchers may carry; nil for logged, proximity and verified.
	Assertions []voucher.Assertion
	// Ask has another system decide about its voucher-requests. Nil: nobody is asked.
	Ask Ask
	// AllowNonceless takes requests and vouchers without a nonce.
	AllowNonceless bool
	// AllowNoProximity takes requests that do not assert proximity (RFC 8995, Section 5.2).
	AllowNoProximity bool
	// AllowExpiredIDevID ignores the end of an IDevID's validity (RFC 8995, Section 2.6.2).
	AllowExpiredIDevID bool
	// Revocation says whether IDevIDs are revoked. Nil has nobody to ask, and
	// refuses those that name somebody.
	Revocation *revocation.Checker
	// AllowAnyKeyUsage takes IDevIDs whose extended key usage leaves clientAuth out.
	AllowAnyKeyUsage bool
	// AuditLog are the rules about the history of its devices.
	AuditLog AuditLogRules
	// Pin says which of our certificates its vouchers may pin.
	Pin PinRule
}

// Limits bound what peers can make the registrar do and keep. Zero is no
// budget for the first four and the default for the rest.
type Limits struct {
	EnrollmentsPerDevice  int // certificates and voucher exchanges a device and day; 0: no budget
	EnrollmentsPerAddress int // requests an address (IPv6: /64) and hour; 0: no budget
	// Devices is how many devices the domain may hold, decommissioned ones apart; 0: any
	// number. Below what it holds, no further one comes in and all stay.
	Devices           int
	RequestsPerMinute int // of EST, BRSKI and baselines, of the whole domain; 0: any number
	// Proxies are the addresses of join proxies (RFC 8995, Section 4), behind which
	// there are many devices: there a budget of an address is one of an address
	// and client certificate.
	Proxies           []netip.Addr
	PendingPerDevice  int           // waiting requests a device; default 4
	Pending           int           // waiting requests and sightings in all; default 10000
	Exchanges         int           // unanswered voucher exchanges at once; default 1024
	MASATimeout       time.Duration // of one try, and how long a pledge is kept waiting; default 10s
	MASARetry         time.Duration // between tries, growing to eight times that; default 10s
	MASAGiveUp        time.Duration // after the request; default 1h
	PollAfter         time.Duration // Retry-After of 202 (RFC 8995, Section 5.6: at most 60 s); default 10s
	EnrollmentsAtOnce int           // being decided and signed; more wait 50 ms for a place at most; default 256
	IssuerTimeout     time.Duration // of one call of an issuer, for which a device is kept waiting; default 20s
	IssuerRetry       time.Duration // between questions about an outstanding issuance, growing to an hour; default 30s
	IssuerGiveUp      time.Duration // after the intent; default 7d
	ApprovalLifetime  time.Duration // how long an operator's approval counts, from when it was given; default 30d
}

func (l Limits) checked() (Limits, error) {
	for _, n := range []int{l.EnrollmentsPerDevice, l.EnrollmentsPerAddress, l.Devices, l.RequestsPerMinute, l.PendingPerDevice, l.Pending, l.Exchanges, l.EnrollmentsAtOnce} {
		if n < 0 {
			return l, fmt.Errorf("a limit is %d", n)
		}
	}
	for _, d := range []time.Duration{l.MASATimeout, l.MASARetry, l.MASAGiveUp, l.PollAfter, l.ApprovalLifetime, l.IssuerTimeout, l.IssuerRetry, l.IssuerGiveUp} {
		if d < 0 {
			return l, fmt.Errorf("a limit is %s", d)
		}
	}
	l.PendingPerDevice = orDefault(l.PendingPerDevice, 4)
	l.Pending = orDefault(l.Pending, 10000)
	l.EnrollmentsAtOnce = orDefault(l.EnrollmentsAtOnce, 256)
	l.Exchanges = orDefault(l.Exchanges, 1024)
	l.MASATimeout = orDefault(l.MASATimeout, 10*time.Second)
	l.MASARetry = orDefault(l.MASARetry, 10*time.Second)
	l.MASAGiveUp = orDefault(l.MASAGiveUp, time.Hour)
	l.IssuerTimeout = orDefault(l.IssuerTimeout, 20*time.Second)
	l.IssuerRetry = orDefault(l.IssuerRetry, 30*time.Second)
	l.IssuerGiveUp = orDefault(l.IssuerGiveUp, 7*24*time.Hour)
	l.ApprovalLifetime = orDefault(l.ApprovalLifetime, 30*24*time.Hour)
	l.PollAfter = min(orDefault(l.PollAfter, 10*time.Second), time.Minute)
	return l, nil
}

func orDefault[T int | time.Duration](value, otherwise T) T {
	if value == 0 {
		return otherwise
	}
	return value
}

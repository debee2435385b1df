package events

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/briskest/briskest/internal/trail"
)

// ContentType is the media type of an event in JSON (CloudEvents 1.0, JSON Event Format).
const ContentType = "application/cloudevents+json"

// Event is a CloudEvent 1.0. Marshalled it is the JSON envelope.
type Event struct {
	SpecVersion     string `json:"specversion"` // "1.0"
	ID              string `json:"id"`
	Source          string `json:"source"` // from the configuration
	Type            string `json:"type"`
	Subject         string `json:"subject,omitempty"` // id of the device
	Time            string `json:"time"`              // RFC 3339
	DataContentType string `json:"datacontenttype"`
	DataSchema      string `json:"dataschema"`
	Sequence        string `json:"sequence"`               // 19 digits: position on the trail
	PartitionKey    string `json:"partitionkey,omitempty"` // id of the device
	Data            *Data  `json:"data"`

	seq int64
}

// Data is what an event says. Which members a type has is in its schema.
type Data struct {
	Domain      string       `json:"domain"`
	Actor       string       `json:"actor,omitempty"`  // who caused it: "est", "brski", an operator's name
	Reason      string       `json:"reason,omitempty"` // reason id of a refusal
	Message     string       `json:"message,omitempty"`
	Operation   string       `json:"operation,omitempty"`
	Request     string       `json:"request,omitempty"` // id in the logs
	Device      *Device      `json:"device,omitempty"`
	Certificate *Certificate `json:"certificate,omitempty"`
	Access      *Access      `json:"access,omitempty"`
	Pending     *Pending     `json:"pending,omitempty"`
	Report      *Report      `json:"report,omitempty"`
	Baseline    *Baseline    `json:"baseline,omitempty"`
	Import      *Import      `json:"import,omitempty"`
	Owner       string       `json:"owner,omitempty"`
	Voucher     string       `json:"voucher,omitempty"` // id of the exchange
	CRL         *CRL         `json:"crl,omitempty"`
}

// Device is the device an event is about.
type Device struct {
	ID           string `json:"id"`
	Manufacturer string `json:"manufacturer,omitempty"`
	SerialNumber string `json:"serial_number,omitempty"`
	State        string `json:"state,omitempty"` // after the event
	Before       string `json:"before,omitempty"`
	Group        string `json:"group,omitempty"`
}

// Certificate is the certificate an event is about.
type Certificate struct {
	Serial   string   `json:"serial"` // lower-case hex
	SHA256   string   `json:"sha256,omitempty"`
	Issuer   string   `json:"issuer,omitempty"`
	Profile  string   `json:"profile,omitempty"`
	Label    string   `json:"label,omitempty"`
	Subject  string   `json:"subject,omitempty"` // RFC 4514, Section 2
	Common   string   `json:"common_name,omitempty"`
	DNS      []string `json:"dns_names,omitempty"`
	IP       []string `json:"ip_addresses,omitempty"`
	Email    []string `json:"email_addresses,omitempty"`
	URI      []string `json:"uris,omitempty"`
	NotAfter string   `json:"not_after,omitempty"`
	Reason   *int     `json:"revocation_reason,omitempty"` // CRLReason (RFC 5280, Section 5.3.1)
}

// Access is what the device may do at a message broker: for its access control lists.
type Access struct {
	// Username is the name under which the broker knows the device: that of its
	// certificate, which mosquitto's use_identity_as_username and others take.
	Username  string   `json:"username"`
	Publish   []string `json:"publish,omitempty"`
	Subscribe []string `json:"subscribe,omitempty"`
}

// Pending is a request that waits, or waited, for a decision.
type Pending struct {
	ID   string `json:"id"`
	Kind string `json:"kind,omitempty"`
}

// Report is a device's telemetry (RFC 8995, Sections 5.7 and 5.9.4).
type Report struct {
	Status bool `json:"status"`
}

// Baseline is what a device was given to be configured with.
type Baseline struct {
	Group    string `json:"group,omitempty"` // whose document it was made of; none: the domain's
	Document int    `json:"document"`        // version of the document
	Version  int    `json:"version"`         // the device's own number
	SHA256   string `json:"sha256"`          // of the text
	Status   string `json:"status,omitempty"`
}

// Import is a batch of devices.
type Import struct {
	Added   int `json:"added"`
	Known   int `json:"known"`
	Changed int `json:"changed"`
}

// CRL is a revocation list that was signed.
type CRL struct {
	Number string `json:"number,omitempty"`
}

// EventID is the id of the event that an entry is: its domain, its position, and the
// first 8 bytes of its leaf's hash.
func EventID(e *trail.Entry) string {
	leaf := sha256.New()
	leaf.Write([]byte{0}) // RFC 6962, Section 2.1
	leaf.Write(e.AppendLeaf(nil))
	return fmt.Sprintf("%s-%d-%s", e.Domain, e.Seq, hex.EncodeToString(leaf.Sum(nil)[:8]))
}

// envelope begins the event of an entry.
func envelope(source string, t *Type, e *trail.Entry) *Event {
	const digits = "0000000000000000000"
	seq := strconv.FormatInt(e.Seq, 10)
	return &Event{
		SpecVersion: "1.0", ID: EventID(e), Source: source, Type: t.Name, Subject: e.Device,
		Time: e.At.UTC().Format(time.RFC3339Nano), DataContentType: "application/json", DataSchema: t.SchemaURI(),
		Sequence: digits[len(seq):] + seq, PartitionKey: e.Device, seq: e.Seq,
	}
}

// JSON is the event's envelope.
func (e *Event) JSON() ([]byte, error) { return json.Marshal(e) }

// message is the event as senders get it.
func (e *Event) message() (*Message, error) {
	body, err := e.JSON()
	return &Message{ID: e.ID, Type: e.Type, Domain: e.Data.Domain, Device: e.PartitionKey, Seq: e.seq, Body: body}, err
}

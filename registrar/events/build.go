package events

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
)

// body is what is read of an entry's body.
type body struct {
	Operation    string          `json:"operation"`
	Request      string          `json:"request"`
	Label        string          `json:"label"`
	Message      string          `json:"message"`
	Manufacturer string          `json:"manufacturer"`
	SerialNumber string          `json:"serial_number"`
	DeviceNumber string          `json:"device_serial_number"`
	Group        string          `json:"group"`
	Serial       string          `json:"serial"`
	SHA256       string          `json:"sha256"`
	Issuer       string          `json:"issuer"`
	Profile      string          `json:"profile"`
	Subject      string          `json:"subject"`
	CommonName   string          `json:"common_name"`
	DNS          []string        `json:"dns"`
	IP           []string        `json:"ip"`
	Email        []string        `json:"email"`
	URI          []string        `json:"uri"`
	NotAfter     string          `json:"not_after"`
	CRLReason    *int            `json:"crl_reason"`
	From         string          `json:"from"`
	To           string          `json:"to"`
	Pending      string          `json:"pending"`
	Kind         string          `json:"kind"`
	Owner        string          `json:"owner"`
	Voucher      string          `json:"voucher"`
	Status       json.RawMessage `json:"status"` // of telemetry a boolean, of a refusal a number
	BaseGroup    string          `json:"baseline_group"`
	BaseVersion  int             `json:"baseline_version"`
	Version      json.Number     `json:"version"`
	Added        int             `json:"added"`
	Known        int             `json:"known"`
	Changed      int             `json:"changed"`
	Number       json.Number     `json:"number"`
}

// Records are what an entry's body may leave out: facts that never change, and the
// group where an entry does not name it.
type Records interface {
	Device(ctx context.Context, domain, id string) (*registrar.Device, error)
	ListCertificates(ctx context.Context, q *registrar.CertificateQuery) ([]*registrar.Certificate, error)
}

// Builder makes events of entries. It is safe for concurrent use.
type Builder struct {
	Source  string // URI reference
	Access  []Rule
	Records Records

	kinds catalogue
}

// NewBuilder returns a Builder.
func NewBuilder(source string, access []Rule, records Records) *Builder {
	return &Builder{Source: source, Access: access, Records: records, kinds: newCatalogue()}
}

// mayBe says whether entries of the kind can be events that the target gets.
func (b *Builder) mayBe(kind string, t *Target) bool {
	return slices.ContainsFunc(b.kinds[kind], func(one *Type) bool { return t.wants(one.Name) })
}

// Build returns the event that an entry is, or nil where it is none. An error is of Records.
func (b *Builder) Build(ctx context.Context, e *trail.Entry) (*Event, error) {
	types := b.kinds[e.Kind]
	if len(types) == 0 {
		return nil, nil //nolint:nilnil // most kinds of entries are no events
	}
	var in body
	// An entry of ours has the members; what cannot be read leaves them out.
	_ = json.Unmarshal(e.Body, &in)
	for _, t := range types {
		if t.when == nil || t.when(&in) {
			out := envelope(b.Source, t, e)
			var err error
			out.Data, err = b.data(ctx, t, e, &in)
			return out, err
		}
	}
	return nil, nil //nolint:nilnil // such as a change of state that nobody outside needs
}

func (b *Builder) data(ctx context.Context, t *Type, e *trail.Entry, in *body) (*Data, error) {
	d := &Data{Domain: e.Domain}
	var err error
	for _, member := range t.Members {
		switch member {
		case "actor":
			d.Actor = cmp.Or(e.Actor, "unknown")
		case "reason":
			d.Reason = e.Reason
		case "message":
			d.Message = in.Message
		case "operation":
			d.Operation = in.Operation
		case "request":
			d.Request = in.Request
		case "device":
			d.Device, err = b.device(ctx, t, e, in)
		case "certificate":
			d.Certificate, err = b.certificate(ctx, e, in)
		case "access":
			d.Access = b.access(d)
		case "pending":
			d.Pending = &Pending{ID: in.Pending, Kind: in.Kind}
		case "report":
			d.Report = &Report{Status: string(in.Status) == "true"}
		case "baseline":
			d.Baseline = in.baseline()
		case "import":
			d.Import = &Import{Added: in.Added, Known: in.Known, Changed: in.Changed}
		case "owner":
			d.Owner = in.Owner
		case "voucher":
			d.Voucher = in.Voucher
		case "crl":
			d.CRL = &CRL{Number: in.Number.String()}
		}
		if err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (in *body) baseline() *Baseline {
	version, _ := in.Version.Int64() //nolint:errcheck // an entry of ours has a number
	out := &Baseline{Group: in.BaseGroup, Document: in.BaseVersion, Version: int(version), SHA256: in.SHA256}
	_ = json.Unmarshal(in.Status, &out.Status) // of a delivery there is none
	return out
}

func (b *Builder) device(ctx context.Context, t *Type, e *trail.Entry, in *body) (*Device, error) {
	if e.Device == "" {
		return nil, nil //nolint:nilnil // nobody is named
	}
	d := &Device{
		ID: e.Device, Manufacturer: in.Manufacturer, SerialNumber: in.DeviceNumber, Group: in.Group,
		State: string(t.to), Before: in.From,
	}
	if t.kind == registrar.KindDeviceState {
		d.State = in.To
	}
	if d.SerialNumber != "" {
		return d, nil
	}
	row, err := b.Records.Device(ctx, e.Domain, e.Device)
	switch {
	case errors.Is(err, registrar.ErrNotFound): // a stranger
		d.SerialNumber = in.SerialNumber
	case err != nil:
		return nil, err
	default:
		d.Manufacturer, d.SerialNumber = row.Manufacturer, row.SerialNumber
		if d.Group == "" {
			d.Group = row.Group
		}
	}
	return d, nil
}

func (b *Builder) certificate(ctx context.Context, e *trail.Entry, in *body) (*Certificate, error) {
	c := &Certificate{
		Serial: in.Serial, SHA256: in.SHA256, Issuer: in.Issuer, Profile: in.Profile, Label: in.Label, Subject: in.Subject,
		Common: in.CommonName, DNS: in.DNS, IP: in.IP, Email: in.Email, URI: in.URI, NotAfter: in.NotAfter, Reason: in.CRLReason,
	}
	if c.SHA256 != "" || in.Serial == "" {
		return c, nil
	}
	serial, err := hex.DecodeString(in.Serial)
	if err != nil {
		return c, nil //nolint:nilerr // there is no certificate of that number
	}
	rows, err := b.Records.ListCertificates(ctx, &registrar.CertificateQuery{Domain: e.Domain, DeviceID: e.Device, Serial: serial, Limit: 1})
	if err == nil && len(rows) == 1 {
		c.complete(rows[0])
	}
	return c, err
}

// Rule gives devices access to topics of a message broker.
type Rule struct {
	Groups    []string // whose devices; empty for all
	Publish   []string // patterns, with {serial_number}, {manufacturer}, {group}, {domain}, {id} and {username}
	Subscribe []string
}

// access is what the rules give the device. Names with what means something in a
// pattern of topics (MQTT 5.0, Section 4.7, and NATS) get nothing.
func (b *Builder) access(d *Data) *Access {
	if d.Device == nil || d.Certificate == nil {
		return nil
	}
	a := &Access{Username: d.Certificate.username(d.Device)}
	values := map[string]string{
		"{serial_number}": d.Device.SerialNumber, "{manufacturer}": d.Device.Manufacturer, "{group}": d.Device.Group,
		"{domain}": d.Domain, "{id}": d.Device.ID, "{username}": a.Username,
	}
	for _, r := range b.Access {
		if len(r.Groups) == 0 || slices.Contains(r.Groups, d.Device.Group) {
			a.Publish = expand(a.Publish, r.Publish, values)
			a.Subscribe = expand(a.Subscribe, r.Subscribe, values)
		}
	}
	if a.Username == "" {
		return nil
	}
	return a
}

func (c *Certificate) username(d *Device) string {
	switch {
	case c.Common != "":
		return c.Common
	case len(c.DNS) > 0:
		return c.DNS[0]
	default:
		return d.SerialNumber
	}
}

func expand(to, patterns []string, values map[string]string) []string {
next:
	for _, p := range patterns {
		for name, value := range values {
			if !strings.Contains(p, name) {
				continue
			}
			if value == "" || strings.ContainsAny(value, "/+#*>. \t\r\n\x00$") && !topicSafe(value) {
				continue next
			}
			p = strings.ReplaceAll(p, name, value)
		}
		to = append(to, p)
	}
	return to
}

// topicSafe takes dots, which separate nothing in MQTT.
func topicSafe(value string) bool { return !strings.ContainsAny(value, "/+#*> \t\r\n\x00$") }

// test makes an event that is on no trail.
func (b *Builder) test(domain, actor string, at time.Time) *Event {
	e := envelope(b.Source, TypeNamed(Test), &trail.Entry{At: at, Domain: domain, Actor: actor})
	e.ID = domain + "-test-" + rand.Text()
	e.Data = &Data{Domain: domain, Actor: actor, Message: "a test"}
	return e
}

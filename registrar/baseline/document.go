package baseline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/briskest/briskest/internal/strictjson"
	"github.com/briskest/briskest/registrar"
)

// Type is what the member type of every text says, so that no other text that
// the registrar signs can be taken for one.
const Type = "briskest.baseline.v1"

// MaxText bounds a text for one device, in bytes.
const MaxText = 256 << 10

// bounds of a document and of its text.
const (
	maxDepth   = 32
	maxMembers = 10000
)

// Document is what an operator writes.
type Document struct {
	Schema   int             `json:"schema"`   // 1
	Settings json.RawMessage `json:"settings"` // an object; its strings may have facts of the device in them
}

// Text is what is signed for one device.
type Text struct {
	Type   string `json:"type"` // Type
	Domain string `json:"domain"`
	// Version is the device's own number of the text: a device takes none that is
	// lower than what it has.
	Version  int64     `json:"version"`
	IssuedAt time.Time `json:"issued_at"`
	Device   Device    `json:"device"`
	Group    string    `json:"group"` // that the device is in; "" for none
	Document Origin    `json:"document"`
	// Applications are what the device is to its group's applications, and where these are.
	Applications map[string]Application `json:"applications"`
	Settings     json.RawMessage        `json:"settings"`
}

// Device is whom a text is for.
type Device struct {
	Manufacturer string `json:"manufacturer"` // "" without an IDevID
	SerialNumber string `json:"serial_number"`
}

// Origin is the document that a text was made of.
type Origin struct {
	Group   string `json:"group"` // "" of the domain's
	Version int64  `json:"version"`
}

// Application is an entitlement of a group's devices, see registrar.Application.
type Application struct {
	Profile   string   `json:"profile,omitempty"`
	Names     []string `json:"names,omitempty"`
	Endpoints []string `json:"endpoints,omitempty"` // URLs
	Publish   []string `json:"publish,omitempty"`   // topics
	Subscribe []string `json:"subscribe,omitempty"`
}

// Maker makes texts of documents. It is a registrar.Baselines.
type Maker struct{}

var _ registrar.Baselines = Maker{}

// Check says what is wrong with a document.
func (Maker) Check(document []byte) error {
	_, err := parseDocument(document)
	return err
}

// parseDocument reads a document and checks the facts that its settings name.
func parseDocument(document []byte) (settings any, err error) {
	if err := strictjson.Value(document, strictjson.Limits{Bytes: registrar.MaxBaseline, Depth: maxDepth, Members: maxMembers}, 1); err != nil {
		return nil, fmt.Errorf("the baseline: %w", err)
	}
	var d Document
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		return nil, fmt.Errorf("the baseline: %w; it has the members schema and settings", err)
	}
	if d.Schema != 1 {
		return nil, fmt.Errorf("the baseline: schema is %d; write \"schema\": 1", d.Schema)
	}
	decoder = json.NewDecoder(bytes.NewReader(d.Settings))
	decoder.UseNumber()
	if err := decoder.Decode(&settings); err != nil {
		return nil, errors.New("the baseline: the member settings is missing; it is an object")
	}
	if _, ok := settings.(map[string]any); !ok {
		return nil, errors.New("the baseline: settings is not an object")
	}
	if _, err := each(settings, "settings", func(text string) (string, error) { return text, checkTemplate(text) }); err != nil {
		return nil, fmt.Errorf("the baseline: %w", err)
	}
	return settings, nil
}

// Text makes the text for one device: its settings with the facts in place, and the
// runtime endpoints of its group's applications.
func (Maker) Text(f *registrar.BaselineFacts) ([]byte, error) {
	settings, err := parseDocument(f.Document.Document)
	if err != nil {
		return nil, err
	}
	known := factsOf(f)
	settings, err = each(settings, "settings", func(text string) (string, error) { return expand(text, known) })
	if err != nil {
		return nil, err
	}
	text := Text{
		Type: Type, Domain: f.Domain, Version: f.Version, IssuedAt: f.At,
		Device: Device{f.Device.Manufacturer, f.Device.SerialNumber}, Group: f.Device.Group,
		Document: Origin{f.Document.Group, f.Document.Version}, Applications: map[string]Application{},
	}
	if f.Group != nil {
		for name, a := range f.Group.Applications {
			text.Applications[name] = Application{a.Profile, a.Names, a.Endpoints, a.Publish, a.Subscribe}
		}
	}
	if text.Settings, err = encode(settings); err != nil {
		return nil, err
	}
	out, err := encode(text)
	if err == nil && len(out) > MaxText {
		err = fmt.Errorf("the text for this device has %d bytes; at most %d are given", len(out), MaxText)
	}
	return out, err
}

// encode writes JSON as it is to be read: without HTML's escapes, without a line's end.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

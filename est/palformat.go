package est

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"time"
)

// The two forms of a list (RFC 8295, Sections 2.1.2 and 2.1.3) have one layout. The XML's namespace is that of
// RFC 8295, Section 10.1.
type (
	palDocument struct {
		XMLName  xml.Name     `xml:"urn:ietf:params:xml:ns:pal pal"`
		Messages []palMessage `xml:"message"`
	}
	palMessage struct {
		Type string  `json:"type" xml:"type"`
		Date string  `json:"date,omitempty" xml:"date,omitempty"`
		Size *int64  `json:"size" xml:"size"`
		Info palInfo `json:"info" xml:"info"`
	}
	palInfo struct {
		DN   string  `json:"dn,omitempty" xml:"dn,omitempty"`
		SKI  string  `json:"ski,omitempty" xml:"ski,omitempty"`
		IASN *palIAS `json:"iasn,omitempty" xml:"iasn,omitempty"`
		URI  string  `json:"uri,omitempty" xml:"uri,omitempty"`
	}
	palIAS struct {
		Issuer string      `json:"issuer" xml:"issuer"`
		Serial json.Number `json:"serial" xml:"serial"`
	}
)

// marshalPAL returns the list in XML or JSON. Errors: those that match [ErrPAL].
func marshalPAL(list []Package, asXML bool) ([]byte, error) {
	if err := checkPAL(list); err != nil {
		return nil, err
	}
	messages := make([]palMessage, len(list))
	for n := range list {
		messages[n] = list[n].message()
	}
	if !asXML {
		return json.Marshal(messages)
	}
	text, err := xml.Marshal(palDocument{Messages: messages})
	return append([]byte(xml.Header), text...), err
}

func (p *Package) message() palMessage {
	m := palMessage{Type: string(p.Type), Size: &p.Size, Info: palInfo{DN: p.Info.DN, SKI: hex.EncodeToString(p.Info.SKI), URI: p.Info.URI}}
	if !p.Date.IsZero() {
		m.Date = p.Date.UTC().Format(palTimeLayout)
	}
	if p.Info.Serial != nil {
		m.Info.IASN = &palIAS{Issuer: p.Info.Issuer, Serial: json.Number(p.Info.Serial.String())}
	}
	return m
}

// ParsePAL reads a package availability list, XML or JSON by its Content-Type, application/xml or application/json (RFC
// 8295, Section 2.1). 64 items at most; what it says is the server's claim.
//
// Errors: those that match [ErrPAL].
func ParsePAL(contentType string, body []byte) ([]Package, error) {
	var messages []palMessage
	var err error
	switch mediaType(contentType) {
	case typeXML:
		messages, err = parsePALXML(body)
	case typeJSON:
		messages, err = parsePALJSON(body)
	default:
		return nil, fmt.Errorf("%w: the type %.100q is neither XML nor JSON", ErrPAL, contentType)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPAL, err)
	}
	if len(messages) > maxPackages {
		return nil, fmt.Errorf("%w: more than %d items", ErrPAL, maxPackages)
	}
	list := make([]Package, len(messages))
	for n := range messages {
		if list[n], err = messages[n].read(); err != nil {
			return nil, fmt.Errorf("item %d: %w", n+1, err)
		}
	}
	return list, checkPAL(list)
}

func parsePALJSON(body []byte) (messages []palMessage, err error) {
	d := json.NewDecoder(bytes.NewReader(body))
	if err = d.Decode(&messages); err == nil && d.Decode(&struct{}{}) != io.EOF {
		err = errors.New("there is something after the list")
	}
	return messages, err
}

func parsePALXML(body []byte) ([]palMessage, error) {
	if bytes.Contains(body, []byte("<!")) { // neither a DOCTYPE nor CDATA has a place here
		return nil, errors.New("the XML has declarations")
	}
	var document palDocument
	d := xml.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&document); err != nil {
		return nil, err
	}
	if strings.TrimSpace(string(body[d.InputOffset():])) != "" {
		return nil, errors.New("there is something after the list")
	}
	return document.Messages, nil
}

func (m *palMessage) read() (Package, error) {
	p := Package{Type: PackageType(m.Type), Info: PackageInfo{DN: m.Info.DN, URI: m.Info.URI}}
	if m.Size == nil {
		return p, fmt.Errorf("%w: an item without size", ErrPAL)
	}
	p.Size = *m.Size
	var err error
	if p.Info.SKI, err = hex.DecodeString(m.Info.SKI); err != nil {
		return p, fmt.Errorf("%w: a SKI that is not hexadecimal", ErrPAL)
	}
	if m.Date != "" {
		if p.Date, err = time.Parse(palTimeLayout, m.Date); err != nil {
			return p, fmt.Errorf("%w: a date that is not YYYY-MM-DDTHH:MM:SSZ", ErrPAL)
		}
	}
	if m.Info.IASN != nil {
		text := string(m.Info.IASN.Serial)
		serial, ok := new(big.Int).SetString(text, 10)
		if !ok || len(text) > 64 {
			return p, fmt.Errorf("%w: a serial number that is none", ErrPAL)
		}
		p.Info.Issuer, p.Info.Serial = m.Info.IASN.Issuer, serial
	}
	return p, nil
}

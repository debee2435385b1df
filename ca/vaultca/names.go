package vaultca

import (
	"encoding/asn1"
	"fmt"
	"net/url"
	"strings"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/delegate"
)

// signRequest is the body of sign. The names are those of the decision;
// exclude_cn_from_sans keeps Vault from adding one.
type signRequest struct {
	CSR             string   `json:"csr"`
	CommonName      string   `json:"common_name,omitempty"`
	SerialNumber    string   `json:"serial_number,omitempty"` // the subject's
	AltNames        string   `json:"alt_names,omitempty"`     // DNS and email, with commas
	IPSANs          []string `json:"ip_sans,omitempty"`
	URISANs         []string `json:"uri_sans,omitempty"`
	ExcludeCN       bool     `json:"exclude_cn_from_sans"`
	NotAfter        string   `json:"not_after"`
	Format          string   `json:"format"`
	RemoveRootChain bool     `json:"remove_roots_from_chain"`
}

// order is that of the attributes in a subject that Vault builds. All but the
// last two come from the role.
func order() []string {
	return []string{
		"2.5.4.6", "2.5.4.10", "2.5.4.11", "2.5.4.7", "2.5.4.8", "2.5.4.9", "2.5.4.17", // C O OU L ST STREET postalCode
		"2.5.4.3", "2.5.4.5", // CN serialNumber
	}
}

func cannot(format string, args ...any) error {
	return fmt.Errorf("%w: Vault cannot be told %s", ca.ErrRejected, fmt.Sprintf(format, args...))
}

// signRequest says the names of a decision as Vault takes them, all but the end.
func (c *CA) signRequest(r *ca.Request) (*signRequest, error) {
	// Its other_sans are UTF8Strings; those that profiles have are none.
	if len(r.Names.Other) > 0 {
		return nil, cannot("SubjectAltNames of other types than DNS, IP, email and URI")
	}
	if !c.config.IgnoresCSRNames {
		if err := delegate.CheckCSRAgrees(r); err != nil {
			return nil, err
		}
	}
	body := &signRequest{CSR: encodePEM("CERTIFICATE REQUEST", r.CSR), ExcludeCN: true, Format: "pem", RemoveRootChain: true}
	if err := body.subject(r); err != nil {
		return nil, err
	}
	for _, name := range append(append([]string(nil), r.Names.DNS...), r.Names.Email...) {
		if strings.ContainsAny(name, ", ") {
			return nil, cannot("the name %.100q, which has a comma or a space", name)
		}
	}
	for _, name := range r.Names.DNS {
		if strings.Contains(name, "@") {
			return nil, cannot("the DNS name %.100q, which it takes for an email address", name)
		}
	}
	body.AltNames = strings.Join(append(append([]string(nil), r.Names.DNS...), r.Names.Email...), ",")
	for _, ip := range r.Names.IP {
		body.IPSANs = append(body.IPSANs, ip.String())
	}
	body.URISANs = uris(r.Names.URI)
	return body, nil
}

// subject fills in the common name and the serial number. Of the rest only the
// order is checked: it comes from the role, and the certificate is held against
// the decision.
func (b *signRequest) subject(r *ca.Request) error {
	known := order()
	last := -1
	for _, set := range r.Subject {
		if len(set) != 1 {
			return cannot("a subject with two attributes in one name, %.200q", r.Subject.String())
		}
		at := -1
		for i, id := range known {
			if set[0].Type.String() == id {
				at = i
			}
		}
		if at <= last {
			return cannot("the subject %.200q; it writes C O OU L ST STREET postalCode CN serialNumber, each once, in this order", r.Subject.String())
		}
		last = at
		switch known[at] {
		case "2.5.4.3":
			b.CommonName = valueText(set[0].Value)
		case "2.5.4.5":
			b.SerialNumber = valueText(set[0].Value)
		}
	}
	return nil
}

func valueText(value any) string {
	if raw, ok := value.(asn1.RawValue); ok {
		return string(raw.Bytes)
	}
	return fmt.Sprint(value)
}

func uris(list []*url.URL) []string {
	var out []string
	for _, u := range list {
		out = append(out, u.String())
	}
	return out
}

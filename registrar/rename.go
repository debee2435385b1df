package registrar

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net/http"
	"slices"

	"github.com/briskest/briskest/est"
)

// renamed refuses a request by a certificate of ours whose names are not the
// certificate's (RFC 7030, Section 4.2.2), and finds out whether it asks for
// others by the attribute that is for that, ChangeSubjectName
// (RFC 6402, Section 2.8). Only a renewal may, and only where the profile says so; what
// the new names may be is then decided as for any names.
func renamed(c *Case) *Decision {
	change, err := est.ReadNameChange(c.CSR)
	if err != nil {
		return denyAs(err, ReasonNamesChanged, ruleNameChange)
	}
	c.NewNames = change
	if !c.aboutItself() {
		if change == nil {
			return nil
		}
		return refuseChange("ChangeSubjectName is for the renewal of the certificate that authenticates the request; put the names into the request itself")
	}
	if err := est.SameNames(c.CSR, c.Identity.Certificate); err != nil {
		return c.aboutOwner(denyAs(err, ReasonNamesChanged, "same-names"))
	}
	if change != nil && !c.Label.Profile.Rules().ChangeNames {
		return c.aboutOwner(refuseChange("the profile does not let a renewal change names; leave ChangeSubjectName out, or have the operator set renewal.change_names"))
	}
	return nil
}

const ruleNameChange = "change-subject-name"

func refuseChange(message string) *Decision {
	return &Decision{
		Status: http.StatusForbidden, Reason: est.ReasonReenrollChangeSubject, Rule: ruleNameChange, Section: "RFC 6402, Section 2.8",
		Message: message,
	}
}

// aboutOwner files a refusal under the device whose certificate asks.
func (c *Case) aboutOwner(d *Decision) *Decision {
	c.Device, c.SerialNumber = c.Identity.Device, c.Identity.Device.SerialNumber
	return d
}

// asked is the request whose names the profile sees. A certificate of ours
// keeps its names letter by letter: where the request spells them otherwise
// (names are compared regardless of case and spaces, RFC 5280, Section 7.1),
// those of the certificate count. Where it may ask for others, a name that a
// ChangeSubjectName leaves out is left out of the certificate too.
func (c *Case) asked() *x509.CertificateRequest {
	if !c.aboutItself() {
		return c.CSR
	}
	kept, cert := *c.CSR, c.Identity.Certificate
	isSAN := func(e pkix.Extension) bool { return e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) }
	kept.Extensions = slices.DeleteFunc(slices.Clone(kept.Extensions), isSAN)
	// Profiles read the DER, and nothing else of these.
	kept.Subject, kept.DNSNames, kept.IPAddresses, kept.EmailAddresses, kept.URIs = pkix.Name{}, nil, nil, nil, nil
	if names := c.NewNames; names != nil {
		if kept.RawSubject = names.Subject; names.Subject == nil {
			kept.RawSubject = []byte{0x30, 0}
		}
		if names.AltNames != nil {
			kept.Extensions = append(kept.Extensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: names.AltNames})
		}
		return &kept
	}
	kept.Subject, kept.RawSubject = cert.Subject, cert.RawSubject
	if i := slices.IndexFunc(cert.Extensions, isSAN); i >= 0 {
		kept.Extensions = append(kept.Extensions, cert.Extensions[i])
	}
	kept.DNSNames, kept.IPAddresses, kept.EmailAddresses, kept.URIs = cert.DNSNames, cert.IPAddresses, cert.EmailAddresses, cert.URIs
	return &kept
}

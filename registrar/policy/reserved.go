package policy

import (
	"crypto/x509"
	"encoding/asn1"
	"net"
	"slices"
	"strings"

	"github.com/briskest/briskest/registrar"
)

// reservedNames refuses the registrar's own names to all but operators: with a
// certificate for one of them a device could pass for the registrar, and hand
// other devices CA certificates (RFC 7030, Section 4.1). The names are common
// name, DNS names and addresses of the certificates that the devices' port
// presents, and of the one that signs voucher-requests. Names of the loopback
// interface are never reserved: they mean another host to each who uses them.
func reservedNames(s *registrar.Settings, c *registrar.Case) *registrar.Decision {
	if c.Identity.Kind == registrar.Operator {
		return nil
	}
	asked := askedNames(c)
	own := s.TLSCertificates
	if s.Signer != nil && s.Signer.Certificate != nil {
		own = append(slices.Clip(own), s.Signer.Certificate)
	}
	for _, cert := range own {
		for _, name := range certificateNames(cert) {
			if !isLoopback(name) && slices.ContainsFunc(asked, func(a string) bool { return covers(a, name) }) {
				return deny(registrar.ReasonNameReserved)
			}
		}
	}
	return nil
}

// askedNames are the names by which a TLS client could take the certificate
// for a server's, in the form of hostName.
func askedNames(c *registrar.Case) []string {
	var names []string
	for _, rdn := range c.Subject {
		for _, a := range rdn {
			if text, ok := a.Value.(string); ok && a.Type.Equal(asn1.ObjectIdentifier{2, 5, 4, 3}) {
				names = append(names, hostName(text))
			}
		}
	}
	for _, name := range c.Names.DNS {
		names = append(names, hostName(name))
	}
	for _, ip := range c.Names.IP {
		names = append(names, ip.String())
	}
	return names
}

func certificateNames(cert *x509.Certificate) []string {
	names := []string{hostName(cert.Subject.CommonName)}
	for _, name := range cert.DNSNames {
		names = append(names, hostName(name))
	}
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

// hostName is the form in which names are compared: without letter case, outer
// spaces and the root's dot, an address as net.IP prints it.
func hostName(name string) string {
	name = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(name)), ".")
	if ip := net.ParseIP(name); ip != nil {
		return ip.String()
	}
	return name
}

// covers tells whether a certificate for asked is good for name: it is the
// same, or a wildcard for it (RFC 6125, Section 6.4.3).
func covers(asked, name string) bool {
	if asked == name {
		return true
	}
	_, parent, below := strings.Cut(name, ".")
	return below && asked == "*."+parent
}

func isLoopback(name string) bool {
	ip := net.ParseIP(name)
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || ip != nil && ip.IsLoopback()
}

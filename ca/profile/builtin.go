package profile

import "regexp"

// The profiles that come with the program. Each call returns a document of its
// own, to be changed, written out, or given to [New].

// Device is the quickstart's: devices enroll under the common name, serial
// number, DNS names and addresses they ask for, as clients and as servers,
// with P-256 or RSA from 2048 bits, and may come again with another key.
func Device() *Document {
	return &Document{
		Schema: Schema, Name: "device", Version: "1",
		Description: "Any device; names are those of the request.",
		Subject: SubjectRules{
			Attributes: []AttributeRule{{Type: "common_name"}, {Type: "serial_number"}}, AllowEmpty: true,
		},
		SAN:  NameRules{DNS: &NameRule{Request: true}, IP: &IPRule{Request: true}},
		Keys: []KeyRule{{Type: "ecdsa", Curves: []string{"p256"}}, {Type: "rsa", KeyUsage: []string{"key_encipherment"}}},

		KeyUsage:         []string{"digital_signature"},
		ExtendedKeyUsage: []string{"client_auth", "server_auth"},
		Validity:         Validity{Lifetime: "365d"},

		ServerKeyGeneration:   ServerKeyGeneration{Mode: "cleartext"},
		AllowSameNameOtherKey: true,
	}
}

// LDevID is for devices that joined with a voucher: the serial number of their
// IDevID, and a common name if they ask for one, as clients.
func LDevID() *Document {
	return &Document{
		Schema: Schema, Name: "ldevid", Version: "1",
		Description: "A device's local identity (IEEE 802.1AR, LDevID).",
		Subject: SubjectRules{
			Attributes: []AttributeRule{{Type: "serial_number", Required: true}, {Type: "common_name"}},
		},
		Keys: []KeyRule{{Type: "ecdsa"}, {Type: "rsa"}, {Type: "ed25519"}},

		KeyUsage:         []string{"digital_signature"},
		ExtendedKeyUsage: []string{"client_auth"},
		Validity:         Validity{Lifetime: "365d"},
		SharedKey:        "refuse",
	}
}

// Registrar is for the registrar itself: id-kp-cmcRA (RFC 8995, Section
// 5.5.4; RFC 7030, Section 3.6.1), server and client.
func Registrar() *Document {
	d := server("registrar", "The registrar's own certificate: TLS server and client, and signer of voucher-requests.")
	d.ExtendedKeyUsage = []string{"cmc_ra", "server_auth", "client_auth"}
	return d
}

// MASA is for the MASA's TLS server.
func MASA() *Document {
	d := server("masa", "The MASA's TLS server certificate.")
	d.ExtendedKeyUsage = []string{"server_auth"}
	return d
}

func server(name, description string) *Document {
	return &Document{
		Schema: Schema, Name: name, Version: "1", Description: description,
		Subject: SubjectRules{Attributes: []AttributeRule{{Type: "common_name", Required: true}, {Type: "organization"}}},
		SAN:     NameRules{DNS: &NameRule{Request: true}, IP: &IPRule{Request: true}, Required: true},
		Keys:    []KeyRule{{Type: "ecdsa"}, {Type: "rsa"}},

		KeyUsage: []string{"digital_signature"},
		Validity: Validity{Lifetime: "730d", Backdate: "1h"},
	}
}

// VoucherSigner is for the key that the MASA signs vouchers with
// (RFC 8366, Section 5.4). It has no extended key usage: pledges need not know one.
func VoucherSigner() *Document {
	return &Document{
		Schema: Schema, Name: "voucher-signer", Version: "1",
		Description: "The MASA's signer of vouchers.",
		Subject:     SubjectRules{Attributes: []AttributeRule{{Type: "common_name", Required: true}, {Type: "organization"}}},
		Keys:        []KeyRule{{Type: "ecdsa"}, {Type: "rsa"}},

		KeyUsage: []string{"digital_signature"},
		Validity: Validity{Lifetime: "3650d", Backdate: "1h"},
	}
}

// RAClient is for clients that may enroll others: id-kp-cmcRA
// (RFC 6402, Section 2.10) and client authentication.
func RAClient() *Document {
	return &Document{
		Schema: Schema, Name: "ra-client", Version: "1",
		Description: "A registration authority's client certificate: it may enroll others.",
		Subject:     SubjectRules{Attributes: []AttributeRule{{Type: "common_name", Required: true}, {Type: "organization"}}},
		Keys:        []KeyRule{{Type: "ecdsa"}, {Type: "rsa"}},

		KeyUsage:         []string{"digital_signature"},
		ExtendedKeyUsage: []string{"cmc_ra", "client_auth"},
		Validity:         Validity{Lifetime: "365d", Backdate: "1h"},
	}
}

// OCSPResponder is for a delegated OCSP responder of the CA that issues it (RFC
// 6960, Section 4.2.2.2). Its own revocation is not asked about, and so it does
// not last: a month, to be renewed weekly.
func OCSPResponder() *Document {
	return &Document{
		Schema: Schema, Name: "ocsp-responder", Version: "1",
		Description: "Signs OCSP answers for the CA that issued it.",
		Subject:     SubjectRules{Attributes: []AttributeRule{{Type: "common_name", Required: true}, {Type: "organization"}}},
		Keys:        []KeyRule{{Type: "ecdsa"}, {Type: "rsa"}, {Type: "ed25519"}},

		KeyUsage:         []string{"digital_signature"},
		ExtendedKeyUsage: []string{"ocsp_signing"},
		OCSPNoCheck:      true,
		Validity:         Validity{Lifetime: "30d", Backdate: "1h"},
	}
}

// IDevID is for a manufacturer's devices: the serial number in the subject
// (RFC 8995, Section 2.3.1), the MASA's address (Section 2.3.2; empty for
// none), no end (IEEE 802.1AR), no extended key usage.
func IDevID(masaURL string) *Document {
	return &Document{
		Schema: Schema, Name: "idevid", Version: "1",
		Description: "A device's initial identity, from its manufacturer (IEEE 802.1AR, IDevID).",
		Subject: SubjectRules{Attributes: []AttributeRule{
			{Type: "serial_number", Required: true}, {Type: "common_name"}, {Type: "organization"}, {Type: "organizational_unit"}, {Type: "country"},
		}},
		Keys: []KeyRule{{Type: "ecdsa"}, {Type: "rsa"}, {Type: "ed25519"}},

		KeyUsage: []string{"digital_signature"},
		Validity: Validity{Lifetime: neverWord, Backdate: "1h", AllowOutliveIssuer: true},
		MASAURL:  masaURL,
	}
}

// TLSServer is for servers: the DNS names and addresses that they ask for, and
// nothing of a client.
func TLSServer() *Document {
	d := server("tls-server", "A TLS server.")
	d.Subject = SubjectRules{Attributes: []AttributeRule{{Type: "common_name"}, {Type: "organization"}}, AllowEmpty: true}
	d.ExtendedKeyUsage = []string{"server_auth"}
	d.Validity.Lifetime = "365d"
	return d
}

// TLSClient is for clients that are no devices: the common name they ask for.
func TLSClient() *Document {
	return &Document{
		Schema: Schema, Name: "tls-client", Version: "1",
		Description: "A TLS client.",
		Subject:     SubjectRules{Attributes: []AttributeRule{{Type: "common_name", Required: true}, {Type: "organization"}}},
		Keys:        []KeyRule{{Type: "ecdsa"}, {Type: "rsa"}, {Type: "ed25519"}},

		KeyUsage:         []string{"digital_signature"},
		ExtendedKeyUsage: []string{"client_auth"},
		Validity:         Validity{Lifetime: "365d"},
	}
}

// ACP is for nodes of an autonomic control plane (RFC 8994, Section 6.2): the serial
// number of the IDevID, and the AcpNodeName that csrattrs gave the node, which is of
// the given ACP domain. Its peers are clients and servers of it.
func ACP(domain string) *Document {
	return &Document{
		Schema: Schema, Name: "acp", Version: "1",
		Description: "A node of the autonomic control plane of " + domain + " (RFC 8994).",
		Subject: SubjectRules{
			Attributes: []AttributeRule{{Type: "serial_number", Required: true}, {Type: "common_name"}},
		},
		SAN: NameRules{ACP: &NameRule{
			Request: true, Required: true, Max: 1,
			Patterns: []string{`[0-9a-f]{32}(\+[a-z0-9.-]*)?@` + regexp.QuoteMeta(domain)},
		}},
		Keys: []KeyRule{{Type: "ecdsa", Curves: []string{"p256", "p384", "p521"}, KeyUsage: []string{"key_agreement"}}, {Type: "rsa"}},

		KeyUsage:         []string{"digital_signature"},
		ExtendedKeyUsage: []string{"client_auth", "server_auth"},
		Validity:         Validity{Lifetime: "365d"},
		SharedKey:        "refuse",
	}
}

// SubCA is for CAs that enroll like devices do, at a label that is for CAs alone: they
// certify DNS names within the given domain only (RFC 5280, Section 4.2.1.10) and have
// no CA below them.
func SubCA(domain string) *Document {
	d := authority("sub-ca", "A CA for names of "+domain+".", "1825d", 0)
	d.NameConstraints = &NameConstraints{Permitted: NameSubtrees{DNS: []string{domain}}}
	return d
}

// Shipped returns every profile that comes with the program, for the domain
// example.com where one is in it.
func Shipped() []*Document {
	return []*Document{
		Device(), LDevID(), ACP("acp.example.com"), IDevID("masa.example.com"), Registrar(), RAClient(), MASA(), VoucherSigner(),
		OCSPResponder(), TLSServer(), TLSClient(), SubCA("example.com"), RootCA("7300d", 1), IssuingCA("3650d", 0),
	}
}

// RootCA is for self-signed CAs: lifetime is as in [Validity], pathLength how
// many CAs may stand below, -1 for any number.
func RootCA(lifetime string, pathLength int) *Document {
	return authority("root-ca", "A self-signed CA.", lifetime, pathLength)
}

// IssuingCA is for CAs below another one.
func IssuingCA(lifetime string, pathLength int) *Document {
	return authority("issuing-ca", "A CA below another one.", lifetime, pathLength)
}

func authority(name, description, lifetime string, pathLength int) *Document {
	d := &Document{
		Schema: Schema, Name: name, Version: "1", Description: description,
		Subject: SubjectRules{Attributes: []AttributeRule{
			{Type: "common_name", Required: true}, {Type: "organization"}, {Type: "organizational_unit"}, {Type: "country"},
		}},
		Keys: []KeyRule{{Type: "ecdsa", Curves: []string{"p256", "p384", "p521"}}, {Type: "rsa"}, {Type: "ed25519"}},

		KeyUsage:         []string{"key_cert_sign", "crl_sign"},
		BasicConstraints: &BasicConstraints{CA: true},
		Validity:         Validity{Lifetime: lifetime, Backdate: "1h"},
	}
	if pathLength >= 0 {
		d.BasicConstraints.PathLength = &pathLength
	}
	return d
}

package profile

// Schema is the version of the document's layout that this package reads.
const Schema = 1

// Document is a profile as it is written: one YAML or JSON object a file. It
// decides nothing before [New] has checked it. Words and their meaning:
//
//	schema: 1
//	name: device
//	version: "3"
//	subject:
//	  attributes:
//	    - {type: organization, value: Example Ltd}
//	    - {type: serial_number, required: true}
//	subject_alt_name:
//	  dns: {request: true, patterns: ['[a-z0-9-]+\.example\.com']}
//	keys:
//	  - {type: ecdsa, curves: [p256]}
//	key_usage: [digital_signature]
//	extended_key_usage: [client_auth]
//	validity: {lifetime: 365d}
//
// What is left out is not allowed, or has the default its field names.
// Durations are written 90s, 15m, 24h or 365d; a pattern is a regular
// expression of package regexp that must match the whole value.
type Document struct {
	// Schema is 1.
	Schema int `yaml:"schema" json:"schema"`
	// Name is what requests and labels call the profile: a letter, then
	// letters, digits, "-" and "_", up to 64.
	Name string `yaml:"name" json:"name"`
	// Version is the operator's word for this state of the document, up to 32
	// letters, digits, ".", "-" and "_". [Profile.Version] adds a digest, so
	// that a change without a new word shows.
	Version string `yaml:"version" json:"version"`
	// Description is for people.
	Description string `yaml:"description,omitempty" json:"description,omitempty"`

	Subject SubjectRules `yaml:"subject,omitempty" json:"subject,omitzero"`
	SAN     NameRules    `yaml:"subject_alt_name,omitempty" json:"subject_alt_name,omitzero"`

	// Keys are the kinds of subject keys taken; at least one.
	Keys []KeyRule `yaml:"keys" json:"keys"`

	// SignatureAlgorithm is what the CA signs with: ecdsa_sha256, _sha384,
	// _sha512, rsa_sha256, _sha384, _sha512, rsa_pss_sha256, _sha384, _sha512
	// or ed25519. Empty: what suits the CA's key.
	SignatureAlgorithm string `yaml:"signature_algorithm,omitempty" json:"signature_algorithm,omitempty"`
	// KeyUsage (RFC 5280, Section 4.2.1.3): digital_signature,
	// content_commitment, key_encipherment, data_encipherment, key_agreement,
	// key_cert_sign, crl_sign, encipher_only, decipher_only; at least one.
	// The extension is critical.
	KeyUsage []string `yaml:"key_usage" json:"key_usage"`
	// ExtendedKeyUsage (RFC 5280, Section 4.2.1.12): client_auth, server_auth,
	// cmc_ra (RFC 6402, Section 2.10), cmc_ca, ocsp_signing,
	// email_protection, code_signing, time_stamping, any, or an OID. Empty: no extension.
	ExtendedKeyUsage []string `yaml:"extended_key_usage,omitempty" json:"extended_key_usage,omitempty"`
	// ExtendedKeyUsageCritical marks that extension critical.
	ExtendedKeyUsageCritical bool `yaml:"extended_key_usage_critical,omitempty" json:"extended_key_usage_critical,omitempty"`
	// BasicConstraints (RFC 5280, Section 4.2.1.9). Nil: no extension.
	BasicConstraints *BasicConstraints `yaml:"basic_constraints,omitempty" json:"basic_constraints,omitempty"`
	// NameConstraints of CAs (RFC 5280, Section 4.2.1.10). Nil: no extension.
	NameConstraints *NameConstraints `yaml:"name_constraints,omitempty" json:"name_constraints,omitempty"`

	Validity Validity `yaml:"validity" json:"validity"`

	// SubjectKeyIdentifier is sha256 (RFC 7093, Section 2, method 1; the
	// default) or none. The authority key identifier is always there.
	SubjectKeyIdentifier string `yaml:"subject_key_identifier,omitempty" json:"subject_key_identifier,omitempty"`
	// CAIssuers and OCSP are http URLs (RFC 5280, Section 4.2.2.1). In them and in
	// CRL and FreshestCRL {authority} stands for the issuing CA's key identifier
	// in lower-case hex.
	CAIssuers []string `yaml:"ca_issuers,omitempty" json:"ca_issuers,omitempty"`
	OCSP      []string `yaml:"ocsp,omitempty" json:"ocsp,omitempty"`
	// CRL are http or ldap URLs, one distribution point each (RFC 5280, Section
	// 4.2.1.13). In them and in FreshestCRL {crl_partition} stands for COUNT/INDEX,
	// such as 16/3: the partition of the CA's lists that the certificate would be
	// on; see [Partition].
	CRL []string `yaml:"crl,omitempty" json:"crl,omitempty"`
	// FreshestCRL are http or ldap URLs of delta lists (RFC 5280, Section 4.2.1.15).
	FreshestCRL []string `yaml:"freshest_crl,omitempty" json:"freshest_crl,omitempty"`
	// OCSPNoCheck tells clients that the certificate, a responder's, is good for as
	// long as it is valid (RFC 6960, Section 4.2.2.2.1).
	OCSPNoCheck bool `yaml:"ocsp_no_check,omitempty" json:"ocsp_no_check,omitempty"`
	// Policies are certificate policies (RFC 5280, Section 4.2.1.4).
	Policies []PolicyRule `yaml:"policies,omitempty" json:"policies,omitempty"`
	// MASAURL is the MASA's authority, or its whole URL, for IDevIDs (RFC
	// 8995, Section 2.3.2). Empty: no extension.
	MASAURL string `yaml:"masa_url,omitempty" json:"masa_url,omitempty"`

	ServerKeyGeneration ServerKeyGeneration `yaml:"server_key_generation,omitempty" json:"server_key_generation,omitzero"`
	Renewal             Renewal             `yaml:"renewal,omitempty" json:"renewal,omitzero"`
	// ProofOfPossessionLinking is if-present (the default), required or off:
	// whether the challengePassword must bind the CSR to its connection (RFC
	// 7030, Section 3.5).
	ProofOfPossessionLinking string `yaml:"proof_of_possession_linking,omitempty" json:"proof_of_possession_linking,omitempty"`
	// SharedKey is allow (the default) or refuse: whether a device may enroll a key
	// that another device holds a valid certificate of.
	SharedKey string `yaml:"shared_key,omitempty" json:"shared_key,omitempty"`
	// AllowSameNameOtherKey lets a name that holds a certificate enroll, not
	// renew, with another key.
	AllowSameNameOtherKey bool `yaml:"allow_same_name_other_key,omitempty" json:"allow_same_name_other_key,omitempty"`
}

// SubjectRules decide the subject.
type SubjectRules struct {
	// Attributes that may or must be there. Those with a value come first, in
	// this order, when the request does not have them; requested ones keep
	// the order of the request.
	Attributes []AttributeRule `yaml:"attributes,omitempty" json:"attributes,omitempty"`
	// AllowEmpty takes requests that leave the subject empty; names are then
	// in the SubjectAltName, which is critical (RFC 5280, Section 4.2.1.6).
	AllowEmpty bool `yaml:"allow_empty,omitempty" json:"allow_empty,omitempty"`
	// Others says what becomes of requested attributes that no rule takes:
	// refuse (the default) or ignore.
	Others string `yaml:"others,omitempty" json:"others,omitempty"`
}

// AttributeRule is one type of subject attribute.
type AttributeRule struct {
	// Type is common_name, serial_number, country, organization,
	// organizational_unit, locality, state, street, postal_code, title,
	// given_name, surname, pseudonym, dn_qualifier, domain_component,
	// user_id, email, or an OID.
	Type string `yaml:"type" json:"type"`
	// Value is what the certificate holds; {serial_number} and the other
	// words of [Facts] are replaced. A request that says otherwise is
	// refused, unless others is ignore. Empty: the value is the request's.
	Value string `yaml:"value,omitempty" json:"value,omitempty"`
	// Required refuses requests without it. Attributes with a value are always there.
	Required bool `yaml:"required,omitempty" json:"required,omitempty"`
	// Max is how often it may be requested; default 1.
	Max int `yaml:"max,omitempty" json:"max,omitempty"`
	// Pattern a requested value must match. Without one, values may not hold
	// any of * / , + ; = # < > " and \.
	Pattern string `yaml:"pattern,omitempty" json:"pattern,omitempty"`
}

// NameRules decide the SubjectAltName. A type without a rule is denied, and so
// is every type that has no field: x400Address, directoryName, ediPartyName,
// registeredID and every other otherName.
type NameRules struct {
	DNS   *NameRule `yaml:"dns,omitempty" json:"dns,omitempty"`
	Email *NameRule `yaml:"email,omitempty" json:"email,omitempty"`
	URI   *NameRule `yaml:"uri,omitempty" json:"uri,omitempty"`
	IP    *IPRule   `yaml:"ip,omitempty" json:"ip,omitempty"`
	// HardwareModule is the HardwareModuleName of RFC 4108, Section 5.
	HardwareModule *HardwareModuleRule `yaml:"hardware_module_name,omitempty" json:"hardware_module_name,omitempty"`
	// ACP is the AcpNodeName of RFC 8994, Section 6.2.2.
	ACP *NameRule `yaml:"acp_node_name,omitempty" json:"acp_node_name,omitempty"`
	// Required refuses certificates without any name here.
	Required bool `yaml:"required,omitempty" json:"required,omitempty"`
	// Others says what becomes of requested names that no rule takes: refuse
	// (the default) or ignore.
	Others string `yaml:"others,omitempty" json:"others,omitempty"`
}

// NameRule is one type of name that is text.
type NameRule struct {
	// Request takes names from the request.
	Request bool `yaml:"request,omitempty" json:"request,omitempty"`
	// Patterns of which a requested name must match one; none: any valid name
	// of the type. DNS names are matched in lower case.
	Patterns []string `yaml:"patterns,omitempty" json:"patterns,omitempty"`
	// Values are always there; {serial_number} and the other words of [Facts] are replaced.
	Values []string `yaml:"values,omitempty" json:"values,omitempty"`
	// Required refuses requests without a name of this type.
	Required bool `yaml:"required,omitempty" json:"required,omitempty"`
	// Max is how many may be requested; default 8.
	Max int `yaml:"max,omitempty" json:"max,omitempty"`
}

// IPRule is about iPAddress names.
type IPRule struct {
	// Request takes addresses from the request.
	Request bool `yaml:"request,omitempty" json:"request,omitempty"`
	// Networks (such as 10.0.0.0/8) of which one must hold a requested
	// address; none: any address.
	Networks []string `yaml:"networks,omitempty" json:"networks,omitempty"`
	// Values are always there.
	Values []string `yaml:"values,omitempty" json:"values,omitempty"`
	// Required refuses requests without an address.
	Required bool `yaml:"required,omitempty" json:"required,omitempty"`
	// Max is how many may be requested; default 8.
	Max int `yaml:"max,omitempty" json:"max,omitempty"`
}

// HardwareModuleRule is about HardwareModuleName (RFC 4108, Section 5).
type HardwareModuleRule struct {
	// Request takes the name from the request.
	Request bool `yaml:"request,omitempty" json:"request,omitempty"`
	// Types are the hwType OIDs taken, and the first is that of Serial; at least one.
	Types []string `yaml:"types" json:"types"`
	// Serial is a template of the hwSerialNum that is always there.
	Serial string `yaml:"serial,omitempty" json:"serial,omitempty"`
	// Required refuses requests without it.
	Required bool `yaml:"required,omitempty" json:"required,omitempty"`
}

// KeyRule is one kind of subject key.
type KeyRule struct {
	// Type is rsa, ecdsa or ed25519.
	Type string `yaml:"type" json:"type"`
	// MinBits and MaxBits bound an RSA modulus; default 2048 and 4096.
	MinBits int `yaml:"min_bits,omitempty" json:"min_bits,omitempty"`
	MaxBits int `yaml:"max_bits,omitempty" json:"max_bits,omitempty"`
	// Curves of an ECDSA key: p256, p384, p521; default p256 and p384.
	Curves []string `yaml:"curves,omitempty" json:"curves,omitempty"`
	// KeyUsage is added to the profile's for keys of this kind, such as
	// key_encipherment for rsa.
	KeyUsage []string `yaml:"key_usage,omitempty" json:"key_usage,omitempty"`
}

// BasicConstraints (RFC 5280, Section 4.2.1.9); the extension is critical.
type BasicConstraints struct {
	CA bool `yaml:"ca,omitempty" json:"ca,omitempty"`
	// PathLength is how many CAs may stand below this one; nil: no limit.
	PathLength *int `yaml:"path_length,omitempty" json:"path_length,omitempty"`
}

// NameConstraints (RFC 5280, Section 4.2.1.10) say which names the certificates below
// a CA may have; the extension is critical. A type of name that neither list has is
// free.
type NameConstraints struct {
	Permitted NameSubtrees `yaml:"permitted,omitempty" json:"permitted,omitzero"`
	Excluded  NameSubtrees `yaml:"excluded,omitempty" json:"excluded,omitzero"`
}

// NameSubtrees are sets of names; at most 32 in all.
type NameSubtrees struct {
	// DNS names, each with all that are below it.
	DNS []string `yaml:"dns,omitempty" json:"dns,omitempty"`
	// Email are hosts, such as example.com, or domains with a dot before them.
	Email []string `yaml:"email,omitempty" json:"email,omitempty"`
	// URI are hosts, or domains with a dot before them.
	URI []string `yaml:"uri,omitempty" json:"uri,omitempty"`
	// IP are networks such as 10.0.0.0/8.
	IP []string `yaml:"ip,omitempty" json:"ip,omitempty"`
}

// Validity decides the validity period.
type Validity struct {
	// Lifetime from the moment of issuing, or never, which is 9999-12-31
	// (RFC 5280, Section 4.1.2.5).
	Lifetime string `yaml:"lifetime" json:"lifetime"`
	// Max is the longest lifetime a request may ask for; default Lifetime.
	Max string `yaml:"max,omitempty" json:"max,omitempty"`
	// Backdate is how long before the moment of issuing a certificate starts
	// to be valid, for clocks that are late; default 5m.
	Backdate string `yaml:"backdate,omitempty" json:"backdate,omitempty"`
	// AllowOutliveIssuer lets a certificate be valid for longer than the CA's.
	// Otherwise it ends with it.
	AllowOutliveIssuer bool `yaml:"allow_outlive_issuer,omitempty" json:"allow_outlive_issuer,omitempty"`
}

// PolicyRule is one certificate policy.
type PolicyRule struct {
	OID string `yaml:"oid" json:"oid"`
	// CPS is the URL of the practice statement; empty for none.
	CPS string `yaml:"cps,omitempty" json:"cps,omitempty"`
}

// ServerKeyGeneration decides about RFC 7030, Section 4.4.
type ServerKeyGeneration struct {
	// Mode is off (the default), cleartext (the TLS connection alone protects
	// the key) or encrypted (to a key that the client names).
	Mode string `yaml:"mode,omitempty" json:"mode,omitempty"`
	// Algorithm of the generated key: p256 (default), p384, p521, rsa2048,
	// rsa3072, rsa4096 or ed25519; one that Keys takes.
	Algorithm string `yaml:"algorithm,omitempty" json:"algorithm,omitempty"`
	// OnRequest are further algorithms, which a client gets that sends a CSR with
	// such a key; any other CSR gets Algorithm.
	OnRequest []string `yaml:"on_request,omitempty" json:"on_request,omitempty"`
}

// Renewal decides about simplereenroll (RFC 7030, Section 4.2.2).
type Renewal struct {
	// ExpiredGrace is how long after its end a certificate still renews itself; default 0s.
	ExpiredGrace string `yaml:"expired_grace,omitempty" json:"expired_grace,omitempty"`
	// Max is how often in a row a device renews without new proof of who it
	// is; 0: no limit.
	Max int `yaml:"max,omitempty" json:"max,omitempty"`
	// Window is how long before its end a certificate may be renewed; empty: at any time.
	Window string `yaml:"window,omitempty" json:"window,omitempty"`
	// SameKey is allow (the default) or refuse: whether the key may stay.
	SameKey string `yaml:"same_key,omitempty" json:"same_key,omitempty"`
	// ChangeNames lets a renewal ask for other names by a ChangeSubjectName (RFC
	// 6402, Section 2.8): those that this profile takes and that are the device's
	// own. Otherwise a renewal keeps its names.
	ChangeNames bool `yaml:"change_names,omitempty" json:"change_names,omitempty"`
}

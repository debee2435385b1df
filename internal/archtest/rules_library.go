package archtest

// libraryRules: voucher, est and brski are libraries for anybody's server.
func libraryRules() []Rule {
	return []Rule{
		{
			ID:   "voucher-imports-its-codecs",
			Why:  "voucher is a library at the bottom: of this module it imports its codecs and nothing else",
			From: []string{"./voucher/..."}, Except: []string{"test-support"},
			Deny:  []string{"./..."},
			Allow: []string{"./voucher/...", "./internal/cms", "./internal/cose", "./internal/jws", "./internal/strictjson"},
		},
		{
			ID:   "est-imports-its-codecs",
			Why:  "est is a library at the bottom: of this module it imports its codecs and nothing else",
			From: []string{"./est/..."}, Except: []string{"test-support", "./est/estcoap"},
			Deny:  []string{"./..."},
			Allow: []string{"./est/...", "./internal/cms", "./internal/cmc", "./internal/httpauth"},
		},
		{
			ID:    "estcoap-imports-est",
			Why:   "est/estcoap carries est over CoAP: est and the CoAP server are all it needs",
			From:  []string{"./est/estcoap"},
			Deny:  []string{"./..."},
			Allow: []string{"./est", "./internal/coapserver"},
		},
		{
			ID:   "brski-imports-est-and-voucher",
			Why:  "brski is a library on est and voucher: services, storage and configuration come to it from its caller",
			From: []string{"./brski/..."}, Except: []string{"test-support", "./brski/brskicoap"},
			Deny:  []string{"./..."},
			Allow: []string{"./brski/...", "./est/...", "./voucher/..."},
		},
		{
			ID:    "brskicoap-imports-brski",
			Why:   "brski/brskicoap carries brski over CoAP: the libraries and the CoAP server are all it needs",
			From:  []string{"./brski/brskicoap"},
			Deny:  []string{"./..."},
			Allow: []string{"./brski/...", "./est/...", "./voucher/...", "./internal/coapserver"},
		},
		{
			ID:   "brski-core-stays-below-its-parts",
			Why:  "brski/pledge and its siblings import brski, never the other way",
			From: []string{"./brski"},
			Deny: []string{"./brski/..."},
		},
		{
			ID:   "libraries-have-no-storage",
			Why:  "the libraries store nothing and read no configuration: the caller decides where things are kept",
			From: []string{"./voucher/...", "./est/...", "./brski/..."},
			Deny: []string{
				"database/sql/...", "modernc.org/...", "github.com/jackc/...", "github.com/pressly/goose/...",
				"github.com/goccy/go-yaml/...", "github.com/alecthomas/kong/...", "flag",
			},
		},
	}
}

// issuerRules: the port of certification authorities, and what is behind it.
func issuerRules() []Rule {
	return []Rule{
		{
			ID:   "ca-imports-the-standard-library",
			Why:  "ca is the port between registrar and issuers: the standard library is all it may know",
			From: []string{"./ca"},
			Deny: []string{"./...", "third-party"},
		},
		{
			ID:   "ca-profile-imports-ca",
			Why:  "profiles are checked before signing, by whoever signs: of this module ca/profile imports ca only",
			From: []string{"./ca/profile/..."},
			Deny: []string{"./..."}, Allow: []string{"./ca", "./ca/profile/..."},
		},
		{
			ID:   "localca-imports-ca-and-profile",
			Why:  "ca/localca signs with a crypto.Signer it is given: of this module it imports ca and ca/profile only",
			From: []string{"./ca/localca/..."},
			Deny: []string{"./..."}, Allow: []string{"./ca", "./ca/profile/...", "./ca/localca/..."},
		},
		{
			ID:   "estca-imports-ca-and-est",
			Why:  "ca/estca delegates over EST: of this module it imports ca, what delegating issuers share, and est",
			From: []string{"./ca/estca/..."},
			Deny: []string{"./..."}, Allow: []string{"./ca", "./ca/delegate", "./ca/profile", "./est", "./ca/estca/..."},
		},
		{
			ID:   "delegate-imports-ca-and-profile",
			Why:  "ca/delegate checks requests and answers for issuers that ask another CA, whatever they speak",
			From: []string{"./ca/delegate"},
			Deny: []string{"./..."}, Allow: []string{"./ca", "./ca/profile"},
		},
		{
			ID:   "delegating-issuers-import-ca",
			Why:  "an issuer that delegates imports ca and its own client, not its siblings",
			From: []string{"./ca/..."}, Except: []string{"./ca", "./ca/profile/...", "./ca/localca/...", "./ca/estca/...", "./ca/delegate", "test-support"},
			Deny: []string{"./..."}, Allow: []string{"./ca", "./ca/delegate", "./ca/profile", "./internal/cms", "./internal/cmc", "./internal/cmp", "./internal/jws", "./internal/strictjson"},
		},
	}
}

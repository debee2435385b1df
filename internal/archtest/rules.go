package archtest

// Rules returns the table. A change here comes with a decision record under
// docs/decisions.
func Rules() []Rule {
	rules := libraryRules()
	rules = append(rules, issuerRules()...)
	rules = append(rules, serviceRules()...)
	rules = append(rules, programRules()...)
	rules = append(rules, testRules()...)
	return append(rules, thirdPartyRules()...)
}

// serviceRules: registrar and masa decide; what they decide with comes to them
// through interfaces.
func serviceRules() []Rule {
	rules := partRules("registrar", "inventory", "policy", "store", "events", "admin", "webhook", "bearer", "groups", "evidence", "baseline")
	rules = append(rules, partRules("masa", "ownership", "store", "admin")...)
	return append(rules, []Rule{
		{
			ID:   "registrar-never-imports-masa",
			Why:  "registrar and MASA belong to different people and meet over the wire or through brski.MASA",
			From: []string{"./registrar/..."},
			Deny: []string{"./masa/..."},
		},
		{
			ID:   "masa-never-imports-registrar",
			Why:  "registrar and MASA belong to different people and meet over the wire or through brski.MASA",
			From: []string{"./masa/..."},
			Deny: []string{"./registrar/..."},
		},
		{
			ID:   "masa-never-imports-ca",
			Why:  "the MASA issues vouchers, not certificates: cmd wires ca/localca where IDevIDs are issued",
			From: []string{"./masa/..."},
			Deny: []string{"./ca/..."},
		},
		{
			ID:   "registrar-knows-the-port-only",
			Why:  "the registrar asks a ca.Issuer: which one it is is for cmd to say",
			From: []string{"./registrar/..."}, Except: []string{"./registrar/policy"},
			Deny: []string{"./ca/..."}, Allow: []string{"./ca"},
		},
		{
			ID:   "registrar-policy-knows-profiles",
			Why:  "registrar/policy decides names by profiles (ca/profile); which issuer signs is for cmd to say",
			From: []string{"./registrar/policy"},
			Deny: []string{"./ca/..."}, Allow: []string{"./ca", "./ca/profile"},
		},
		{
			ID:   "registrar-stays-below-its-parts",
			Why:  "store, admin and the other parts import the service's types, never the other way",
			From: []string{"./registrar"},
			Deny: []string{"./registrar/..."},
		},
		{
			ID:   "masa-stays-below-its-parts",
			Why:  "store, admin and the other parts import the service's types, never the other way",
			From: []string{"./masa"},
			Deny: []string{"./masa/..."},
		},
		{
			ID:   "registrar-ui-stands-on-admin",
			Why:  "the pages show what the operator's API gives: registrar/ui imports no other part of the registrar",
			From: []string{"./registrar/ui/..."},
			Deny: []string{"./registrar/..."}, Allow: []string{"./registrar/admin/...", "./registrar/ui/..."},
		},
		{
			ID:   "services-have-no-storage",
			Why:  "services ask a Store and a crypto.Signer they are given; databases, configuration, keys and listeners are wired in cmd",
			From: []string{"./registrar/...", "./masa/..."}, Except: []string{"./registrar/store/...", "./masa/store/..."},
			Deny: []string{
				"./internal/sqlitedb/...", "./internal/config/...", "./internal/keystore/...",
				"./internal/httpserver/...", "./internal/cli/...", "./internal/bench/...", "database/sql/...",
			},
		},
	}...)
}

// partRules keeps the parts of a service apart: each imports the service's
// types and itself; they meet in cmd.
func partRules(service string, parts ...string) []Rule {
	rules := make([]Rule, 0, len(parts))
	for _, part := range parts {
		own := "./" + service + "/" + part + "/..."
		rules = append(rules, Rule{
			ID:    service + "-" + part + "-imports-" + service,
			Why:   "parts of a service import the service's types and not each other: they meet in cmd",
			From:  []string{own},
			Deny:  []string{"./" + service + "/..."},
			Allow: []string{"./" + service, own},
		})
	}
	return rules
}

// programRules: cmd chooses, and internal serves everybody.
func programRules() []Rule {
	return []Rule{
		{
			ID:   "packages-have-a-place",
			Why:  "top-level folders are the words of the field, listed in docs/design.md, Section 2: a new one needs a decision record",
			From: []string{"./..."}, Except: []string{
				"./voucher/...", "./est/...", "./brski/...", "./ca/...", "./registrar/...", "./masa/...",
				"./conformance/...", "./cmd/...", "./internal/...", "./docs/...",
			},
			Deny: []string{"./...", "std", "third-party"}, Files: AllFiles,
		},
		{
			ID:   "cmd-names-implementations",
			Why:  "which store and which issuer is used is said in cmd and nowhere else; a world for tests is no part of the product",
			From: []string{"./..."}, Except: []string{"./cmd/...", "./registrar/...", "./masa/...", "./ca/...", "./internal/systemtest"},
			Deny: []string{
				"./registrar/store/...", "./masa/store/...",
				"./ca/localca/...", "./ca/estca/...", "./ca/vaultca/...", "./ca/stepca/...", "./ca/cmpca/...",
			},
		},
		{
			ID:   "internal-serves-everybody",
			Why:  "internal packages are used by services and libraries and so know neither",
			From: []string{"./internal/..."}, Except: []string{"./internal/bench/...", "test-support"},
			Deny: []string{"./..."}, Allow: []string{"./internal/..."},
		},
		{
			ID:    "codecs-are-leaves",
			Why:   "a codec knows bytes and nothing of this module but other codecs: CMP takes its CRMF from CMC (docs/decisions/0021-cmp.md)",
			From:  []string{"./internal/cms", "./internal/cmc", "./internal/cmp", "./internal/cose", "./internal/jws", "./internal/strictjson", "./internal/httpauth"},
			Deny:  []string{"./..."},
			Allow: []string{"./internal/cms", "./internal/cmc", "./internal/strictjson"},
		},
		{
			ID:   "bench-is-for-cmd",
			Why:  "internal/bench measures the running program and is no part of it",
			From: []string{"./..."}, Except: []string{"./cmd/...", "./internal/bench/..."},
			Deny: []string{"./internal/bench/..."},
		},
		{
			ID:    "bench-knows-the-wire",
			Why:   "internal/bench speaks to servers as a client does and knows no service",
			From:  []string{"./internal/bench/..."},
			Deny:  []string{"./..."},
			Allow: []string{"./internal/...", "./est", "./brski/...", "./voucher/..."},
		},
		{
			ID:   "devices-carry-no-server",
			Why:  "the pledge runs on small devices: no database, no service and no server ends up in it",
			From: []string{"./brski/pledge/...", "./cmd/briskest-pledge/..."},
			Deny: []string{
				"database/sql/...", "modernc.org/...", "github.com/jackc/...", "github.com/pressly/goose/...",
				"./registrar/...", "./masa/...", "./internal/sqlitedb/...", "./internal/httpserver/...",
			},
			Transitive: true,
		},
	}
}

// testRules: the black box, and what only tests may use.
func testRules() []Rule {
	return []Rule{
		{
			ID:   "conformance-is-a-black-box",
			Why:  "the checks run against anybody's server: of this module they import the protocol libraries and codecs only (docs/decisions/0028-conformance.md)",
			From: []string{"./conformance/..."},
			Deny: []string{"./..."},
			Allow: []string{
				"./brski/...", "./est/...", "./voucher/...", "./conformance/...",
				"./internal/cms", "./internal/cmc", "./internal/cose", "./internal/jws", "./internal/strictjson", "./internal/httpauth",
				"test-support",
			},
		},
		{
			ID:   "conformance-tests-stay-outside",
			Why:  "the tests of the checks have servers of their own: no registrar, MASA or CA of ours",
			From: []string{"./conformance/..."},
			Deny: []string{"./..."}, Files: TestFiles,
			Allow: []string{
				"./brski/...", "./est/...", "./voucher/...", "./conformance/...",
				"./internal/testpki", "./internal/testbed", "./internal/cmstest", "./internal/vectors",
				"./internal/cms", "./internal/cmc", "./internal/cose", "./internal/jws", "./internal/strictjson", "./internal/httpauth",
			},
		},
		{
			ID:   "conformance-is-for-cmd",
			Why:  "the suite judges the product and is no part of it: cmd runs it",
			From: []string{"./..."}, Except: []string{"./cmd/...", "./conformance/..."},
			Deny: []string{"./conformance/..."},
		},
		{
			ID:   "test-support-is-for-tests",
			Why:  "packages for tests are imported by tests and by each other only",
			From: []string{"./..."}, Except: []string{"test-support"},
			Deny: []string{"test-support"},
		},
	}
}

// thirdPartyRules: one door for each module that has opinions.
func thirdPartyRules() []Rule {
	return []Rule{
		{
			ID:   "no-foreign-pkcs7",
			Why:  "other CMS and EST implementations are second opinions in nested test modules, never in this one (docs/decisions/0002-cms.md)",
			From: []string{"./..."}, Files: AllFiles,
			Deny: []string{"go.mozilla.org/pkcs7/...", "github.com/fullsailor/pkcs7/...", "github.com/globalsign/..."},
		},
		{
			ID:   "no-foreign-jose",
			Why:  "go-jose is the second opinion on JWS in a nested test module, never in this one (docs/decisions/0009-jws.md)",
			From: []string{"./..."}, Files: AllFiles,
			Deny: []string{"github.com/go-jose/..."},
		},
		{
			ID:   "kong-is-for-cmd",
			Why:  "command lines are parsed in cmd",
			From: []string{"./..."}, Except: []string{"./cmd/..."},
			Deny: []string{"github.com/alecthomas/kong/..."},
		},
		{
			ID:   "yaml-is-for-config",
			Why:  "internal/config is the one strict reader of configuration files",
			From: []string{"./..."}, Except: []string{"./internal/config"},
			Deny: []string{"github.com/goccy/go-yaml/..."},
		},
		{
			ID:   "pkcs11-is-for-cryptoki",
			Why:  "internal/cryptoki is the one door to PKCS#11 libraries, in builds with the tag pkcs11 (docs/decisions/0014-pkcs11.md)",
			From: []string{"./..."}, Except: []string{"./internal/cryptoki"},
			Deny: []string{"github.com/miekg/pkcs11/..."}, Files: AllFiles,
		},
		{
			ID:   "cryptoki-is-for-keystore",
			Why:  "whoever signs has a crypto.Signer: internal/keystore alone loads libraries of tokens",
			From: []string{"./..."}, Except: []string{"./internal/keystore", "./internal/cryptoki"},
			Deny: []string{"./internal/cryptoki/..."},
		},
		{
			ID:   "brokers-are-for-events",
			Why:  "each broker's client has one door, a Sender of registrar/events (docs/decisions/0025-events.md)",
			From: []string{"./..."}, Except: []string{"./registrar/events/mqtt", "./registrar/events/jetstream"},
			Deny: []string{"github.com/eclipse/paho.golang/...", "github.com/nats-io/..."},
		},
		{
			ID:   "jwx-is-for-tokens",
			Why:  "registrar/bearer is the one reader of JSON Web Tokens (docs/decisions/0008-http-authentication.md)",
			From: []string{"./..."}, Except: []string{"./registrar/bearer"},
			Deny: []string{"github.com/lestrrat-go/..."},
		},
		{
			ID:   "cbor-is-behind-cose",
			Why:  "internal/cose is the one door to CBOR and COSE, so that everything from a peer passes its limits (docs/decisions/0010-cose.md)",
			From: []string{"./..."}, Except: []string{"./internal/cose"},
			Deny: []string{"github.com/fxamacker/cbor/...", "github.com/veraison/go-cose/..."},
		},
		{
			ID:   "packets-are-for-discovery",
			Why:  "brski/discovery is the one place that opens multicast sockets, and it has a DNS codec of its own (docs/decisions/0011-mdns.md)",
			From: []string{"./..."}, Except: []string{"./brski/discovery"},
			Deny: []string{"golang.org/x/net/...", "github.com/hashicorp/mdns/...", "github.com/miekg/dns/..."},
		},
		{
			ID:   "sqlite-is-for-sqlitedb",
			Why:  "internal/sqlitedb is the one door to SQLite, so that every row goes through the trail",
			From: []string{"./..."}, Except: []string{"./internal/sqlitedb"},
			Deny: []string{"modernc.org/...", "github.com/pressly/goose/...", "database/sql/..."},
		},
	}
}

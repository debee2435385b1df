package profile_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/ca/profile"
	"github.com/goccy/go-yaml"
)

// everyField uses every field of the document.
const everyField = `
schema: 1
name: every-field
version: "2026.1"
description: All there is.
subject:
  attributes:
    - {type: organization, value: Example Ltd}
    - {type: 2.5.4.97, max: 2}
    - {type: serial_number, required: true, pattern: '[A-Z0-9-]+'}
    - {type: common_name, value: 'device {serial_number}'}
  others: ignore
subject_alt_name:
  dns: {request: true, patterns: ['[a-z0-9-]+\.example\.com'], required: true, max: 2, values: ['{device_id}.devices.example']}
  email: {request: true}
  uri: {values: ['urn:dev:{model}']}
  ip: {request: true, networks: [10.0.0.0/8], values: [127.0.0.1, '::1'], max: 3}
  hardware_module_name: {types: [1.3.6.1.4.1.32473.1], serial: '{serial_number}'}
  acp_node_name: {request: true}
  required: true
  others: refuse
keys:
  - {type: rsa, min_bits: 3072, max_bits: 4096, key_usage: [key_encipherment]}
  - {type: ecdsa, curves: [p256, p384, p521]}
  - {type: ed25519}
signature_algorithm: ecdsa_sha384
key_usage: [digital_signature]
extended_key_usage: [client_auth, server_auth, cmc_ra, 1.3.6.1.4.1.32473.9, ocsp_signing]
extended_key_usage_critical: true
basic_constraints: {ca: false}
validity: {lifetime: 90d, max: 365d, backdate: 1h30m, allow_outlive_issuer: true}
subject_key_identifier: sha256
ca_issuers: [http://pki.example.com/ca.der]
ocsp: [http://ocsp.example.com]
crl: [http://pki.example.com/ca.crl, 'ldap://ldap.example.com/cn=ca?certificateRevocationList']
freshest_crl: [http://pki.example.com/delta.crl]
ocsp_no_check: true
policies:
  - {oid: 1.3.6.1.4.1.32473.5, cps: https://pki.example.com/cps}
  - {oid: 2.23.140.1.2.1}
masa_url: masa.example.com
server_key_generation: {mode: encrypted, algorithm: p384, on_request: [p384]}
renewal: {expired_grace: 30d, max: 5, window: 45d, same_key: refuse, change_names: true}
proof_of_possession_linking: required
shared_key: refuse
allow_same_name_other_key: true
`

// decode is as strict as the program's.
func decode(data []byte, into any) error {
	return yaml.NewDecoder(strings.NewReader(string(data)), yaml.Strict(), yaml.DisallowUnknownField()).Decode(into)
}

func TestEveryFieldOfADocumentIsRead(t *testing.T) {
	p, err := profile.Load([]byte(everyField), decode)
	if err != nil {
		t.Fatal(err)
	}
	want := profile.Policy{
		ServerKeyGeneration: "encrypted", ServerKeyAlgorithm: "p384", ServerKeyWishes: []string{"p384"}, ExpiredGrace: 30 * 24 * time.Hour, MaxRenewals: 5,
		RenewalWindow: 45 * 24 * time.Hour, RefuseSameKey: true, RefuseSharedKey: true, ChangeNames: true, Linking: "required", AllowSameNameOtherKey: true,
	}
	if !reflect.DeepEqual(p.Policy(), want) {
		t.Errorf("Policy = %+v, want %+v", p.Policy(), want)
	}
	if p.SignatureAlgorithm() != profile.ECDSAWithSHA384 {
		t.Errorf("SignatureAlgorithm = %q", p.SignatureAlgorithm())
	}
	unset(t, reflect.ValueOf(p.Document()).Elem(), "")
}

// unset fails for each field of the document that the text above leaves out.
func unset(t *testing.T, v reflect.Value, path string) {
	t.Helper()
	for i := range v.NumField() {
		field, name := v.Field(i), path+v.Type().Field(i).Name
		switch {
		case name == "BasicConstraints" || name == "NameConstraints" || name == "Subject.AllowEmpty" || strings.HasSuffix(name, "HardwareModule.Request") || strings.HasSuffix(name, "HardwareModule.Required"):
		case field.Kind() == reflect.Struct:
			unset(t, field, name+".")
		case field.IsZero():
			t.Errorf("the test's document does not set %s", name)
		}
	}
}

func TestADocumentSurvivesYAMLAndJSON(t *testing.T) {
	for _, d := range append(documents(), func() *profile.Document {
		p, err := profile.Load([]byte(everyField), decode)
		if err != nil {
			t.Fatal(err)
		}
		return p.Document()
	}()) {
		p := mustNew(t, d)
		text, err := yaml.Marshal(p.Document())
		if err != nil {
			t.Fatal(err)
		}
		again, err := profile.Load(text, decode)
		if err != nil || again.Version() != p.Version() {
			t.Errorf("%s through YAML: %v; version %v, want %s\n%s", d.Name, err, again, p.Version(), text)
			continue
		}
		text, err = json.Marshal(p.Document())
		if err != nil {
			t.Fatal(err)
		}
		if again, err = profile.ParseJSON(text); err != nil || again.Version() != p.Version() {
			t.Errorf("%s through JSON: %v", d.Name, err)
		}
	}
}

func TestAnyChangeGivesAnotherVersion(t *testing.T) {
	before := mustNew(t, profile.Device())
	d := profile.Device()
	d.Validity.Lifetime = "364d"
	if after := mustNew(t, d); after.Version() == before.Version() || !strings.HasPrefix(after.Version(), "1-") {
		t.Errorf("versions %s and %s of two documents", before.Version(), after.Version())
	}
}

func TestADocumentIsCopied(t *testing.T) {
	d := profile.Device()
	p := mustNew(t, d)
	d.Keys[0].Type = "rsa"
	p.Document().KeyUsage[0] = "crl_sign"
	if got := p.Document(); got.Keys[0].Type != "ecdsa" || got.KeyUsage[0] != "digital_signature" {
		t.Errorf("the profile changed with the caller's document: %+v", got)
	}
}

func TestWrongDocumentsAreRefusedByField(t *testing.T) {
	two := 2
	for want, change := range map[string]func(d *profile.Document){
		"schema: is 2":                    func(d *profile.Document) { d.Schema = 2 },
		"name: ":                          func(d *profile.Document) { d.Name = "" },
		"name: \"a b\"":                   func(d *profile.Document) { d.Name = "a b" },
		"name: \"-a\"":                    func(d *profile.Document) { d.Name = "-a" },
		"version: ":                       func(d *profile.Document) { d.Version = "" },
		"description: ":                   func(d *profile.Document) { d.Description = strings.Repeat("a", 1001) },
		"subject.others: \"drop\"":        func(d *profile.Document) { d.Subject.Others = "drop" },
		"subject.attributes: are missing": func(d *profile.Document) { d.Subject = profile.SubjectRules{} },
		"subject.attributes[0].type: \"cn\"": func(d *profile.Document) {
			d.Subject.Attributes[0].Type = "cn"
		},
		"subject.attributes[0].pattern: ": func(d *profile.Document) { d.Subject.Attributes[0].Pattern = "(" },
		"subject.attributes[1].pattern: ": func(d *profile.Document) { d.Subject.Attributes[1].Pattern = `\Qa` },
		"subject.attributes[0].max: ":     func(d *profile.Document) { d.Subject.Attributes[0].Max = -1 },
		"subject.attributes[2]: common_name is there twice": func(d *profile.Document) {
			d.Subject.Attributes = append(d.Subject.Attributes, profile.AttributeRule{Type: "2.5.4.3"})
		},
		"subject.attributes[0]: has a value": func(d *profile.Document) {
			d.Subject.Attributes[0].Value, d.Subject.Attributes[0].Max = "a", 2
		},
		"{nonsense} is none of": func(d *profile.Document) { d.Subject.Attributes[0].Value = "a {nonsense}" },
		"a } without a {":       func(d *profile.Document) { d.Subject.Attributes[0].Value = "a}" },
		"country is two capital letters": func(d *profile.Document) {
			d.Subject.Attributes = append(d.Subject.Attributes, profile.AttributeRule{Type: "country", Value: "de"})
		},
		"subject_alt_name.dns: allows nothing": func(d *profile.Document) { d.SAN.DNS = &profile.NameRule{} },
		"subject_alt_name.dns.patterns[0]: ":   func(d *profile.Document) { d.SAN.DNS.Patterns = []string{"["} },
		"subject_alt_name.dns.patterns[0]: is empty": func(d *profile.Document) {
			d.SAN.DNS.Patterns = []string{""}
		},
		"subject_alt_name.dns: restricts": func(d *profile.Document) {
			d.SAN.DNS = &profile.NameRule{Values: []string{"a"}, Patterns: []string{"a"}}
		},
		"subject_alt_name.ip.networks[0]: \"10.0.0.1/8\"": func(d *profile.Document) { d.SAN.IP.Networks = []string{"10.0.0.1/8"} },
		"subject_alt_name.ip.values[0]: \"010.0.0.1\"":    func(d *profile.Document) { d.SAN.IP.Values = []string{"010.0.0.1"} },
		"subject_alt_name: takes":                         func(d *profile.Document) { d.SAN.DNS.Max = 128 },
		"subject_alt_name.required: ": func(d *profile.Document) {
			d.SAN = profile.NameRules{Required: true}
		},
		"subject_alt_name.hardware_module_name.types: ": func(d *profile.Document) {
			d.SAN.HardwareModule = &profile.HardwareModuleRule{Request: true}
		},
		"subject_alt_name.hardware_module_name.types[0]: \"1\"": func(d *profile.Document) {
			d.SAN.HardwareModule = &profile.HardwareModuleRule{Request: true, Types: []string{"1"}}
		},
		"keys: are missing":                    func(d *profile.Document) { d.Keys = nil },
		"keys[0].type: \"dsa\"":                func(d *profile.Document) { d.Keys[0] = profile.KeyRule{Type: "dsa"} },
		"keys[1].type: ecdsa is there twice":   func(d *profile.Document) { d.Keys[1] = profile.KeyRule{Type: "ecdsa"} },
		"keys[0].curves[0]: \"p224\"":          func(d *profile.Document) { d.Keys[0].Curves = []string{"p224"} },
		"keys[1].min_bits: 1024":               func(d *profile.Document) { d.Keys[1].MinBits = 1024 },
		"keys[1].min_bits: 4096 to 2048":       func(d *profile.Document) { d.Keys[1].MinBits, d.Keys[1].MaxBits = 4096, 2048 },
		"keys[0]: min_bits and max_bits":       func(d *profile.Document) { d.Keys[0].MinBits = 2048 },
		"keys[1].curves: are for ecdsa":        func(d *profile.Document) { d.Keys[1].Curves = []string{"p256"} },
		"keys[0].key_usage: key_encipherment":  func(d *profile.Document) { d.KeyUsage = append(d.KeyUsage, "key_encipherment") },
		"keys[1].key_usage[0]: \"signing\"":    func(d *profile.Document) { d.Keys[1].KeyUsage = []string{"signing"} },
		"key_usage: is missing":                func(d *profile.Document) { d.KeyUsage = nil },
		"key_usage[0]: \"digitalSignature\"":   func(d *profile.Document) { d.KeyUsage = []string{"digitalSignature"} },
		"key_usage: key_cert_sign and":         func(d *profile.Document) { d.KeyUsage = []string{"key_cert_sign"} },
		"encipher_only and decipher_only mean": func(d *profile.Document) { d.KeyUsage = []string{"encipher_only"} },
		"ed25519 keys sign": func(d *profile.Document) {
			d.Keys[1] = profile.KeyRule{Type: "ed25519", KeyUsage: []string{"key_agreement"}}
		},
		"extended_key_usage[0]: \"clientAuth\"": func(d *profile.Document) { d.ExtendedKeyUsage = []string{"clientAuth"} },
		"extended_key_usage[1]: client_auth is there twice": func(d *profile.Document) {
			d.ExtendedKeyUsage = []string{"client_auth", "client_auth"}
		},
		"extended_key_usage_critical: ": func(d *profile.Document) {
			d.ExtendedKeyUsage, d.ExtendedKeyUsageCritical = nil, true
		},
		"basic_constraints.path_length: ": func(d *profile.Document) { d.BasicConstraints = &profile.BasicConstraints{PathLength: &two} },
		"signature_algorithm: \"md5\"":    func(d *profile.Document) { d.SignatureAlgorithm = "md5" },
		"subject_key_identifier: ":        func(d *profile.Document) { d.SubjectKeyIdentifier = "sha1" },
		"validity.lifetime: \"\"":         func(d *profile.Document) { d.Validity = profile.Validity{} },
		"validity.lifetime: \"1y\"":       func(d *profile.Document) { d.Validity.Lifetime = "1y" },
		"validity.lifetime: \"0s\"":       func(d *profile.Document) { d.Validity.Lifetime = "0s" },
		"validity.lifetime: \"-1h\"":      func(d *profile.Document) { d.Validity.Lifetime = "-1h" },
		"validity.lifetime: \"40000d\"":   func(d *profile.Document) { d.Validity.Lifetime = "40000d" },
		"validity.lifetime: \"90.5s\"":    func(d *profile.Document) { d.Validity.Lifetime = "90.5s" },
		"validity.max: is shorter":        func(d *profile.Document) { d.Validity.Max = "1d" },
		"validity.backdate: ":             func(d *profile.Document) { d.Validity.Backdate = "31d" },
		"ca_issuers[0]: ":                 func(d *profile.Document) { d.CAIssuers = []string{"https://pki.example.com"} },
		"ocsp[0]: ":                       func(d *profile.Document) { d.OCSP = []string{"ocsp.example.com"} },
		"crl[0]: ":                        func(d *profile.Document) { d.CRL = []string{"http://u:p@pki.example.com/"} },
		"policies[0].oid: \"\"":           func(d *profile.Document) { d.Policies = []profile.PolicyRule{{}} },
		"policies[0].cps[0]: ":            func(d *profile.Document) { d.Policies = []profile.PolicyRule{{OID: "1.2.3", CPS: "ftp://a"}} },
		"masa_url: ":                      func(d *profile.Document) { d.MASAURL = "http://masa.example.com" },
		"server_key_generation.mode: ":    func(d *profile.Document) { d.ServerKeyGeneration.Mode = "on" },
		"server_key_generation.algorithm: \"dsa\"": func(d *profile.Document) {
			d.ServerKeyGeneration.Algorithm = "dsa"
		},
		"server_key_generation.algorithm: p384 is no key": func(d *profile.Document) { d.ServerKeyGeneration.Algorithm = "p384" },
		"server_key_generation.algorithm: is set": func(d *profile.Document) {
			d.ServerKeyGeneration = profile.ServerKeyGeneration{Algorithm: "p256"}
		},
		"server_key_generation.on_request[0]: ": func(d *profile.Document) { d.ServerKeyGeneration.OnRequest = []string{"p521"} },
		"renewal.expired_grace: ":               func(d *profile.Document) { d.Renewal.ExpiredGrace = "soon" },
		"renewal.window: ":                      func(d *profile.Document) { d.Renewal.Window = "1w" },
		"renewal.max: ":                         func(d *profile.Document) { d.Renewal.Max = -1 },
		"renewal.same_key: ":                    func(d *profile.Document) { d.Renewal.SameKey = "yes" },
		"proof_of_possession_linking: ":         func(d *profile.Document) { d.ProofOfPossessionLinking = "on" },
		"its certificates would be wrong: e_ext_": func(d *profile.Document) {
			// Nobody but the linter minds a policy that is there twice.
			d.Policies = []profile.PolicyRule{{OID: "1.2.3"}, {OID: "1.2.3"}}
		},
		"no valid name was found": func(d *profile.Document) {
			d.SAN.DNS = &profile.NameRule{Request: true, Required: true, Patterns: []string{`\*\.example`}}
		},
		"no valid common_name was found": func(d *profile.Document) {
			d.Subject.Attributes[0] = profile.AttributeRule{Type: "common_name", Required: true, Pattern: `[\x00]`}
		},
	} {
		d := profile.Device()
		change(d)
		_, err := profile.New(d)
		if !errors.Is(err, profile.ErrDocument) || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v, want ErrDocument with %q", err, want)
		}
	}
}

func TestAllProblemsOfADocumentAreSaidAtOnce(t *testing.T) {
	d := profile.Device()
	d.Version, d.Validity.Lifetime, d.Renewal.SameKey = "", "x", "y"
	_, err := profile.New(d)
	for _, field := range []string{"version", "validity.lifetime", "renewal.same_key"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("New = %v, want it to name %s", err, field)
		}
	}
}

func TestUnknownKeysAreRefused(t *testing.T) {
	for _, text := range []string{everyField + "\nlifetime: 3d\n", strings.Replace(everyField, "request: true, patterns", "requested: true, patterns", 1)} {
		if _, err := profile.Load([]byte(text), decode); !errors.Is(err, profile.ErrDocument) {
			t.Errorf("Load with an unknown key = %v, want ErrDocument", err)
		}
	}
	if _, err := profile.ParseJSON([]byte(`{"schema":1,"nam":"x"}`)); !errors.Is(err, profile.ErrDocument) || !strings.Contains(err.Error(), "nam") {
		t.Errorf("ParseJSON with an unknown key = %v, want it named", err)
	}
	if _, err := profile.ParseJSON([]byte(`{} {}`)); !errors.Is(err, profile.ErrDocument) {
		t.Errorf("ParseJSON of two documents = %v", err)
	}
	if _, err := profile.ParseJSON(make([]byte, 300<<10)); !errors.Is(err, profile.ErrDocument) {
		t.Errorf("ParseJSON of 300 kB = %v", err)
	}
}

func TestPatternsGetSampleNames(t *testing.T) {
	d := profile.Device()
	d.Subject.Attributes = []profile.AttributeRule{
		{Type: "common_name", Required: true, Pattern: `(?:meter|pump)-[0-9]{4}(?:-[a-f]+)?`},
		{Type: "serial_number", Required: true, Pattern: `FW[-/][A-Z0-9]{3,9}`},
	}
	d.SAN.DNS = &profile.NameRule{Request: true, Required: true, Patterns: []string{`[a-z]{2}\d+\.plant\.example`}}
	p := mustNew(t, d)
	for n := range 20 {
		subject, names, err := p.Sample(n)
		if err != nil {
			t.Fatal(err)
		}
		if n == 3 {
			t.Logf("%s %v", subject, names)
		}
	}
}

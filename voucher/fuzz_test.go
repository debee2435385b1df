package voucher_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
)

func seeds(f *testing.F) {
	for _, text := range []string{
		string(voucherOf(goodVoucher())),
		`{"ietf-voucher-request:voucher":{"assertion":"proximity","created-on":"2021-04-13T17:43:23.747-04:00",` +
			`"serial-number":"00-D0-E5-F2-00-02","nonce":"-_XE9zK9q8Ll1qylMtLKeg","proximity-registrar-cert":"AQID"}}`,
		`{"ietf-voucher:voucher":{"serial-number":"x","extensions":["e"],"extension:e":[{}],"u":-1.5e9,"prior-signed-voucher-request":{"a":1}}}`,
		`{"ietf-voucher:voucher":{"created-on":"2017-09-01","pinned-domain-cert":"AQ\nID","assertion":"\ud83d\ude00"}}`,
		`{"ietf-voucher-request-prm:voucher":{"serial-number":"x","agent-sign-cert":["AQ==","Ag=="],"agent-signed-data":"AQ=="}}`,
		`{"ietf-delegated-voucher:voucher":{"serial-number":"x","assertion":"logged","delegation-enable-flag":true,` +
			`"pinned-delegation-cert-authority":"AQ==","delegation-countdown":3}}`,
		`{"a":[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]}`,
	} {
		f.Add([]byte(text))
	}
}

// What is taken is JSON to encoding/json too, and what is taken without
// findings can be written and read again as the same.
func FuzzParseVoucher(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		v, findings, err := voucher.ParseVoucher(text, voucher.Tolerant)
		if err != nil {
			return
		}
		if !json.Valid(text) {
			t.Fatalf("ParseVoucher(%q) takes what is not JSON", text)
		}
		written, err := voucher.MarshalVoucher(v)
		if err != nil { // such as a pin that is no certificate
			return
		}
		again, _, err := voucher.ParseVoucher(written, voucher.Tolerant)
		cut(&v.CreatedOn, &v.ExpiresOn, &v.LastRenewalDate)
		if err != nil || len(findings) == 0 && !reflect.DeepEqual(v, again) {
			t.Errorf("%s\nread and written: %s\nread again: %+v, %v", text, written, again, err)
		}
	})
}

func FuzzParseRequest(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		r, findings, err := voucher.ParseRequest(text, voucher.Tolerant)
		if err != nil {
			return
		}
		if !json.Valid(text) {
			t.Fatalf("ParseRequest(%q) takes what is not JSON", text)
		}
		if _, _, err := voucher.ParseRequest(text, voucher.StrictRFC8366); err == nil && len(findings) == 0 && voucher.RefuseUnknown(r) != nil {
			t.Errorf("%q has unknown leaves and no finding", text)
		}
		written, err := voucher.MarshalRequest(r)
		if err != nil {
			return
		}
		again, _, err := voucher.ParseRequest(written, voucher.Tolerant)
		cut(&r.CreatedOn, &r.ExpiresOn, &r.LastRenewalDate)
		if err != nil || len(findings) == 0 && !reflect.DeepEqual(r, again) {
			t.Errorf("%s\nread and written: %s\nread again: %+v, %v", text, written, again, err)
		}
	})
}

func FuzzParseAgentSignedData(f *testing.F) {
	f.Add([]byte(`{"created-on":"2022-09-22T05:43:50.125Z","serial-number":"0123456789"}`))
	f.Add([]byte(`{"ietf-voucher-request-prm:agent-signed-data":{"created-on":"2022-09-22T05:43:50Z","serial-number":"0","x":[]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, _, err := voucher.ParseAgentSignedData(text)
		if err == nil && (!json.Valid(text) || d.SerialNumber == "" || d.CreatedOn.IsZero()) {
			t.Errorf("ParseAgentSignedData(%q) = %+v", text, d)
		}
	})
}

func cut(times ...*time.Time) {
	for _, t := range times {
		*t = t.Truncate(time.Second)
	}
}

func text() *rapid.Generator[string] { return rapid.StringMatching(`[ -~äß✓\x{1f600}]{1,40}`) }

func when() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "seconds"), 0).UTC()
	})
}

func blob() *rapid.Generator[[]byte] { return rapid.SliceOfN(rapid.Byte(), 1, 80) }

func maybe[T any](t *rapid.T, name string, g *rapid.Generator[T]) (zero T) {
	if rapid.Bool().Draw(t, "with "+name) {
		return g.Draw(t, name)
	}
	return zero
}

func raw() *rapid.Generator[json.RawMessage] {
	return rapid.Map(rapid.SampledFrom([]string{`null`, `"x"`, `{"a":[1,-2.5e3,true]}`, `[]`, `"\ud83d\ude00"`}),
		func(s string) json.RawMessage { return json.RawMessage(s) })
}

func members(prefix string) *rapid.Generator[map[string]json.RawMessage] {
	return rapid.MapOfN(rapid.Map(rapid.StringMatching(`[a-z.]{1,20}`), func(s string) string { return prefix + s }), raw(), 1, 4)
}

func delegation() *rapid.Generator[*voucher.Delegation] {
	return rapid.Custom(func(t *rapid.T) *voucher.Delegation {
		if rapid.Bool().Draw(t, "disabled") {
			return &voucher.Delegation{}
		}
		return &voucher.Delegation{
			Enabled: true, CertAuthority: maybe(t, "authority", blob()), CertName: maybe(t, "name", blob()),
			Voucher: maybe(t, "voucher", blob()), IntermediateIdentities: maybe(t, "identities", blob()),
			Countdown: rapid.Int16Range(0, 1<<15-1).Draw(t, "countdown"),
		}
	})
}

func TestEveryRequestThatCanBeWrittenIsReadAsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		flag := rapid.Bool().Draw(t, "flag")
		r := &voucher.Request{
			Assertion:               maybe(t, "assertion", rapid.SampledFrom([]voucher.Assertion{voucher.Verified, voucher.Logged, voucher.Proximity, voucher.AgentProximity})),
			CreatedOn:               maybe(t, "created-on", when()),
			SerialNumber:            text().Draw(t, "serial-number"),
			IDevIDIssuer:            maybe(t, "idevid-issuer", blob()),
			PinnedDomainCert:        maybe(t, "pinned-domain-cert", blob()),
			ProximityRegistrarCert:  maybe(t, "proximity-registrar-cert", blob()),
			ProximityRegistrarPubk:  maybe(t, "proximity-registrar-pubk", blob()),
			AgentSignedData:         maybe(t, "agent-signed-data", blob()),
			AgentSignCert:           maybe(t, "agent-sign-cert", rapid.SliceOfN(blob(), 1, 3)),
			ManufacturerProprietary: maybe(t, "manufacturer-proprietary", raw()),
			ESTDomain:               maybe(t, "est-domain", rapid.Just("https://est.example/")),
			Extensions:              maybe(t, "extensions", members("extension:")),
			Unknown:                 maybe(t, "unknown", members("z-")),
		}
		r.PriorSignedVoucherRequest = maybe(t, "prior", blob())
		if r.Assertion == voucher.AgentProximity { // which needs what proves it
			r.AgentSignedData, r.AgentProvidedProximityRegistrarCert = blob().Draw(t, "data"), blob().Draw(t, "registrar")
			r.AgentSignCert = rapid.SliceOfN(blob(), 1, 3).Draw(t, "agents")
		}
		if flag {
			r.DomainCertRevocationChecks = &flag
			r.Nonce = text().Filter(func(s string) bool { return voucher.CheckNonce(s) == nil }).Draw(t, "nonce")
		} else {
			r.ExpiresOn = maybe(t, "expires-on", when())
		}
		written, err := voucher.MarshalRequest(r)
		if err != nil {
			t.Fatalf("MarshalRequest(%+v) = %v", r, err)
		}
		got, _, err := voucher.ParseRequest(written, voucher.Tolerant)
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Fatalf("ParseRequest(%s) = %+v, %v\nwant %+v", written, got, err, r)
		}
	})
}

func TestEveryVoucherThatCanBeWrittenIsReadAsTheSame(t *testing.T) {
	pin := testpki.NewRoot(t, "Domain CA").Certificate
	rapid.Check(t, func(t *rapid.T) {
		v := &voucher.Voucher{
			Assertion:              rapid.SampledFrom([]voucher.Assertion{voucher.Verified, voucher.Logged, voucher.Proximity}).Draw(t, "assertion"),
			CreatedOn:              when().Draw(t, "created-on"),
			SerialNumber:           text().Draw(t, "serial-number"),
			PinnedDomainCert:       pin.Raw,
			PinnedDomainPubk:       maybe(t, "pubk", blob()),
			PinnedDomainPubkSHA256: maybe(t, "hash", rapid.SliceOfN(rapid.Byte(), 32, 32)),
			Extensions:             maybe(t, "extensions", members("extension:")),
			Delegation:             maybe(t, "delegation", delegation()),
		}
		if rapid.Bool().Draw(t, "nonceless") {
			v.ExpiresOn = pin.NotAfter.Add(-time.Duration(rapid.IntRange(0, 1e6).Draw(t, "before")) * time.Second)
			v.LastRenewalDate = maybe(t, "last-renewal-date", when())
		} else {
			v.Nonce = voucher.NewNonce()
		}
		written, err := voucher.MarshalVoucher(v)
		if err != nil {
			t.Fatalf("MarshalVoucher(%+v) = %v", v, err)
		}
		got, findings, err := voucher.ParseVoucher(written, voucher.StrictRFC8366)
		if err != nil || len(findings) > 0 || !reflect.DeepEqual(got, v) {
			t.Fatalf("ParseVoucher(%s) = %+v, %v, %v\nwant %+v", written, got, findings, err, v)
		}
	})
}

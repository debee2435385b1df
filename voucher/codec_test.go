package voucher_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
)

// goodVoucher are the leaves of a voucher that nothing is wrong with, as JSON texts.
func goodVoucher() map[string]string {
	return map[string]string{
		"assertion":          `"logged"`,
		"created-on":         `"2026-11-22T22:21:07Z"`,
		"serial-number":      `"PEER-0001"`,
		"nonce":              `"yrtSQhecSZPc4PVZDes6xw=="`,
		"pinned-domain-cert": `"AQID"`,
	}
}

// payload puts leaves into a container.
func payload(root string, leaves map[string]string) []byte {
	var parts []string
	for name, value := range leaves {
		parts = append(parts, `"`+name+`":`+value)
	}
	slices.Sort(parts)
	return []byte(`{"` + root + `":{` + strings.Join(parts, ",") + `}}`)
}

func with(leaves map[string]string, name, value string) map[string]string {
	if value == "" {
		delete(leaves, name)
		return leaves
	}
	leaves[name] = value
	return leaves
}

func voucherOf(leaves map[string]string) []byte { return payload("ietf-voucher:voucher", leaves) }

func findingIDs(findings []voucher.Finding) []string {
	var ids []string
	for _, f := range findings {
		ids = append(ids, f.ID)
	}
	return ids
}

func TestParseVoucherReadsEachLeaf(t *testing.T) {
	leaves := goodVoucher()
	for name, value := range map[string]string{
		"nonce":                         "", // excludes expires-on
		"expires-on":                    `"2026-12-01T00:00:00Z"`,
		"last-renewal-date":             `"2027-12-01T00:00:00Z"`,
		"idevid-issuer":                 `"BBgwFoAUlU7Vft0KvopLzyjGaNB2fcQyB/U="`,
		"pinned-domain-pubk":            `"BAUG"`,
		"pinned-domain-pubk-sha256":     `"` + base64.StdEncoding.EncodeToString(hash(7)) + `"`,
		"domain-cert-revocation-checks": `false`,
		"est-domain":                    `"https://est.example/"`,
		"additional-configuration-url":  `"https://conf.example/x"`,
		"manufacturer-proprietary":      `{"a":[1,2]}`,
		"extensions":                    `["example.com"]`,
		"extension:example.com":         `{"b":true}`,
	} {
		with(leaves, name, value)
	}
	got, findings, err := voucher.ParseVoucher(voucherOf(leaves), voucher.StrictRFC8366)
	if err != nil || len(findings) != 0 {
		t.Fatalf("ParseVoucher() = %v, %v, want no findings and no error", findings, err)
	}
	no := false
	want := &voucher.Voucher{
		Assertion:                  voucher.Logged,
		CreatedOn:                  time.Date(2026, 11, 22, 22, 21, 7, 0, time.UTC),
		ExpiresOn:                  time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC),
		LastRenewalDate:            time.Date(2027, 12, 1, 0, 0, 0, 0, time.UTC),
		SerialNumber:               "PEER-0001",
		IDevIDIssuer:               fromBase64(t, "BBgwFoAUlU7Vft0KvopLzyjGaNB2fcQyB/U="),
		PinnedDomainCert:           []byte{1, 2, 3},
		PinnedDomainPubk:           []byte{4, 5, 6},
		PinnedDomainPubkSHA256:     hash(7),
		DomainCertRevocationChecks: &no,
		ESTDomain:                  "https://est.example/",
		AdditionalConfigurationURL: "https://conf.example/x",
		ManufacturerProprietary:    json.RawMessage(`{"a":[1,2]}`),
		Extensions:                 map[string]json.RawMessage{"extension:example.com": json.RawMessage(`{"b":true}`)},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("ParseVoucher() = %+v\nwant %+v", got, want)
	}
}

// hash is 32 bytes of that value.
func hash(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func TestParseRequestReadsEachLeafOfARequest(t *testing.T) {
	got, findings, err := voucher.ParseRequest(payload("ietf-voucher-request:voucher", map[string]string{
		"serial-number":                           `"PEER-0001"`,
		"prior-signed-voucher-request":            `"AQ=="`,
		"proximity-registrar-cert":                `"Ag=="`,
		"proximity-registrar-pubk":                `"Aw=="`,
		"proximity-registrar-pubk-sha256":         `"` + base64.StdEncoding.EncodeToString(hash(4)) + `"`,
		"agent-provided-proximity-registrar-cert": `"BQ=="`,
		"agent-sign-cert":                         `["Bg==","CA=="]`,
		"agent-signed-data":                       `"Bw=="`,
	}), voucher.StrictRFC8366)
	if err != nil || len(findings) != 0 {
		t.Fatalf("ParseRequest() = %v, %v, want no findings and no error", findings, err)
	}
	want := &voucher.Request{
		SerialNumber:                        "PEER-0001",
		PriorSignedVoucherRequest:           []byte{1},
		ProximityRegistrarCert:              []byte{2},
		ProximityRegistrarPubk:              []byte{3},
		ProximityRegistrarPubkSHA256:        hash(4),
		AgentProvidedProximityRegistrarCert: []byte{5},
		AgentSignCert:                       [][]byte{{6}, {8}},
		AgentSignedData:                     []byte{7},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("ParseRequest() = %+v\nwant %+v", got, want)
	}
}

// Each deviation in a leaf is told by its own error and names the leaf.
func TestParseVoucherRefusesLeavesByName(t *testing.T) {
	for _, c := range []struct {
		leaf, value string
		want        error
	}{
		{"serial-number", ``, voucher.ErrMissingLeaf},
		{"assertion", ``, voucher.ErrMissingLeaf},
		{"pinned-domain-cert", ``, voucher.ErrMissingLeaf},
		{"serial-number", `7`, voucher.ErrLeafType},
		{"serial-number", `null`, voucher.ErrLeafType},
		{"serial-number", `["PEER-0001"]`, voucher.ErrLeafType},
		{"serial-number", `""`, voucher.ErrLeafValue},
		{"serial-number", `"a\u0000b"`, voucher.ErrLeafValue},
		{"serial-number", `"` + strings.Repeat("x", 257) + `"`, voucher.ErrLeafValue},
		{"assertion", `2`, voucher.ErrLeafType},
		{"assertion", `"Logged"`, voucher.ErrLeafValue},
		{"assertion", `""`, voucher.ErrLeafValue},
		{"nonce", `17`, voucher.ErrLeafType},
		{"nonce", `""`, voucher.ErrNonce},
		{"nonce", `"AAAAAAAAAA=="`, voucher.ErrNonce},                                                // 7 bytes
		{"nonce", `"` + base64.StdEncoding.EncodeToString(make([]byte, 33)) + `"`, voucher.ErrNonce}, // 33 bytes
		{"nonce", `"` + strings.Repeat("!", 33) + `"`, voucher.ErrNonce},                             // as text
		{"domain-cert-revocation-checks", `"false"`, voucher.ErrLeafType},                            // a string
		{"domain-cert-revocation-checks", `0`, voucher.ErrLeafType},                                  // a number
		{"pinned-domain-cert", `{}`, voucher.ErrLeafType},
		{"pinned-domain-cert", `""`, voucher.ErrLeafValue},
		{"pinned-domain-cert", `"AQI"`, voucher.ErrBase64},  // no padding
		{"pinned-domain-cert", `"_-8="`, voucher.ErrBase64}, // base64url
		{"pinned-domain-cert", `"AQJ="`, voucher.ErrBase64}, // stray bits
		{"pinned-domain-cert", `"AQ ID"`, voucher.ErrBase64},
		{"idevid-issuer", `"####"`, voucher.ErrBase64},
		{"pinned-domain-pubk-sha256", `"AQID"`, voucher.ErrLeafValue}, // not 32 bytes
		{"created-on", `1479848467`, voucher.ErrLeafType},
		{"created-on", `"yesterday"`, voucher.ErrDate},
		{"created-on", `"2026-11-22 22:21:07Z"`, voucher.ErrDate},
		{"created-on", `"2026-11-22T22:21:07"`, voucher.ErrDate}, // no offset
		{"created-on", `"2026-11-22T22:21Z"`, voucher.ErrDate},
		{"created-on", `"2026-11-22T2:21:07Z"`, voucher.ErrDate},
		{"created-on", `"2026-11-22T22:21:07.Z"`, voucher.ErrDate},
		{"created-on", `"2026-11-22T22:21:07+-1:00"`, voucher.ErrDate},
		{"created-on", `"2026-11-22T22:21:07+01:00x"`, voucher.ErrDate},
		{"created-on", `"2026-11-22T22:21:07Z "`, voucher.ErrDate},
		{"created-on", `"2026-11-22T22:21:07,5Z"`, voucher.ErrDate},
		{"created-on", `"2026-02-30T00:00:00Z"`, voucher.ErrDate},
		{"created-on", `"2026-11-22T22:21:07+24:00"`, voucher.ErrDate},
		{"created-on", `"0001-01-01T00:00:00Z"`, voucher.ErrDate},
		{"created-on", `"20261122222107Z"`, voucher.ErrDate},
		{"created-on", `""`, voucher.ErrDate},
		{"expires-on", `"2026-12-01"`, voucher.ErrDate}, // for created-on only
		{"last-renewal-date", `true`, voucher.ErrLeafType},
		{"est-domain", `"not a uri"`, voucher.ErrLeafValue},
		{"est-domain", `"/relative"`, voucher.ErrLeafValue},
		{"additional-configuration-url", `"` + "https://" + strings.Repeat("x", 2048) + `"`, voucher.ErrLeafValue},
		{"extensions", `"example.com"`, voucher.ErrLeafType},
		{"extensions", `[1]`, voucher.ErrLeafType},
		{"extensions", `["a","a"]`, voucher.ErrLeafValue},
		{"extensions", `[""]`, voucher.ErrLeafValue},
		{"extension:", `1`, voucher.ErrLeafValue},
		{"extension:" + strings.Repeat("x", 41), `1`, voucher.ErrLeafValue},
	} {
		_, _, err := voucher.ParseVoucher(voucherOf(with(goodVoucher(), c.leaf, c.value)), voucher.Tolerant)
		var leaf *voucher.LeafError
		if !errors.Is(err, c.want) || !errors.As(err, &leaf) || leaf.Leaf != c.leaf {
			t.Errorf("ParseVoucher with %s: %s = %v, want %v about that leaf", c.leaf, c.value, err, c.want)
		}
	}
}

func TestParseVoucherRefusesMalformedJSON(t *testing.T) {
	good := string(voucherOf(goodVoucher()))
	deep := strings.Repeat("[", 20) + strings.Repeat("]", 20)
	for _, c := range []struct {
		text string
		want error
	}{
		{``, voucher.ErrSyntax},
		{`[]`, voucher.ErrSyntax},
		{`{`, voucher.ErrSyntax},
		{`{}`, voucher.ErrRoot},
		{"\ufeff" + good, voucher.ErrSyntax},
		{good + `x`, voucher.ErrTrailingData},
		{good + good, voucher.ErrTrailingData},
		{good + "\x00", voucher.ErrTrailingData},
		{good[:len(good)-1], voucher.ErrSyntax},
		{strings.Replace(good, `,`, `,,`, 1), voucher.ErrSyntax},
		{strings.Replace(good, `:{`, `:{,`, 1), voucher.ErrSyntax},
		{strings.Replace(good, `}}`, `,}}`, 1), voucher.ErrSyntax},
		{strings.Replace(good, `"logged"`, `'logged'`, 1), voucher.ErrSyntax},
		{strings.Replace(good, `"logged"`, `"log\xged"`, 1), voucher.ErrSyntax},
		{strings.Replace(good, `"logged"`, `"\ud800"`, 1), voucher.ErrSyntax},
		{strings.Replace(good, `"logged"`, `"\udc00\ud800"`, 1), voucher.ErrSyntax},
		{strings.Replace(good, `"logged"`, `"\u12"`, 1), voucher.ErrSyntax},
		{strings.Replace(good, `"logged"`, "\"a\nb\"", 1), voucher.ErrSyntax},
		{strings.Replace(good, `"logged"`, "\"\xff\"", 1), voucher.ErrSyntax},
		{strings.Replace(good, `"logged"`, `01`, 1), voucher.ErrSyntax},
		{strings.Replace(good, `"logged"`, `tru`, 1), voucher.ErrSyntax},
		{strings.Replace(good, `}}`, `,"x":`+deep+`}}`, 1), voucher.ErrTooDeep},
		{strings.Replace(good, `}}`, `,"x":[`+strings.Repeat("1,", 2000)+`1]}}`, 1), voucher.ErrTooLarge},
		{good + strings.Repeat(" ", voucher.MaxPayload), voucher.ErrTooLarge},
		{strings.Replace(good, `}}`, `,"nonce":"x"}}`, 1), voucher.ErrDuplicateLeaf},
		{strings.Replace(good, `}}`, `,"\u006eonce":"x"}}`, 1), voucher.ErrDuplicateLeaf},
		{strings.Replace(good, `}}`, `,"x":[{"a":1,"a":2}]}}`, 1), voucher.ErrDuplicateLeaf},
		{strings.Replace(good, `}}`, `},"ietf-voucher:voucher":{}}`, 1), voucher.ErrDuplicateLeaf},
		{strings.Replace(good, `}}`, `},"more":{}}`, 1), voucher.ErrRoot},
		{strings.Replace(good, `ietf-voucher:voucher`, `voucher`, 1), voucher.ErrRoot},
		{strings.Replace(good, `ietf-voucher:voucher`, `ietf-voucher-request:voucher`, 1), voucher.ErrRoot},
		{`{"ietf-voucher:voucher":[]}`, voucher.ErrLeafType},
	} {
		if _, _, err := voucher.ParseVoucher([]byte(c.text), voucher.Tolerant); !errors.Is(err, c.want) {
			t.Errorf("ParseVoucher(%.120q) = %v, want %v", c.text, err, c.want)
		}
	}
}

func TestWhitespaceAroundAndWithinIsNoTrailingData(t *testing.T) {
	text := strings.NewReplacer(":{", " :\r\n{ ", ",", "\t,\n ").Replace(string(voucherOf(goodVoucher())))
	if _, _, err := voucher.ParseVoucher([]byte("\n"+text+"\n"), voucher.Tolerant); err != nil {
		t.Errorf("ParseVoucher with white space = %v", err)
	}
}

// Each tolerance is reported when tolerant and, but for those that are the receiver's to judge, refused when strict.
func TestDeviationsOfPeersAreFindingsOrRefusedWhenStrict(t *testing.T) {
	for _, c := range []struct {
		name    string
		leaves  map[string]string
		finding string
		strict  error // nil: a finding too
	}{
		{"unknown leaf", with(goodVoucher(), "colour", `"red"`), voucher.FindingUnknownLeaf, nil},
		{"nqminds N5: nonce and expires-on", with(goodVoucher(), "expires-on", `"2030-12-30T00:00:00Z"`),
			voucher.FindingNonceWithExpiresOn, voucher.ErrNonceWithExpiresOn},
		{"nqminds N5: no created-on", with(goodVoucher(), "created-on", ``), voucher.FindingCreatedOnMissing, voucher.ErrMissingLeaf},
		{"nqminds N6: issuer's name", with(goodVoucher(), "idevid-issuer", `"QyA9IElFLCBDTiA9IGlkZXZjYQ=="`),
			voucher.FindingIDevIDIssuerForm, nil},
		{"chariwt 2017: date alone", with(goodVoucher(), "created-on", `"2017-09-01"`), voucher.FindingDateWithoutTime, voucher.ErrDate},
		{"chariwt 2016: line breaks", with(goodVoucher(), "pinned-domain-cert", `"AQ\nID\n"`),
			voucher.FindingBase64LineBreaks, voucher.ErrBase64},
		{"highway: nonce counted as text", with(goodVoucher(), "nonce", `"abcd1234"`), voucher.FindingNonceLength, voucher.ErrNonce},
		{"last-renewal-date alone", with(goodVoucher(), "last-renewal-date", `"2030-12-30T00:00:00Z"`),
			voucher.FindingLastRenewalDate, voucher.ErrLeafValue},
		{"extension not listed", with(goodVoucher(), "extension:x", `1`), voucher.FindingExtensionUnlisted, nil},
	} {
		_, findings, err := voucher.ParseVoucher(voucherOf(c.leaves), voucher.Tolerant)
		if got := findingIDs(findings); err != nil || !slices.Equal(got, []string{c.finding}) {
			t.Errorf("%s: ParseVoucher() = %v, %v, want finding %s", c.name, got, err, c.finding)
		}
		_, findings, err = voucher.ParseVoucher(voucherOf(c.leaves), voucher.StrictRFC8366)
		if !errors.Is(err, c.strict) || c.strict == nil && len(findings) != 1 {
			t.Errorf("%s: strict ParseVoucher() = %v, %v, want %v", c.name, findings, err, c.strict)
		}
	}
}

// RFC 8366, Section 5.3 has three assertions and one pin.
func TestStrictModeRefusesWhatOnlyRFC8366bisHas(t *testing.T) {
	for name, leaves := range map[string]map[string]string{
		"agent-proximity": with(goodVoucher(), "assertion", `"agent-proximity"`),
		"pubk pin":        with(with(goodVoucher(), "pinned-domain-cert", ``), "pinned-domain-pubk", `"AQID"`),
	} {
		if _, _, err := voucher.ParseVoucher(voucherOf(leaves), voucher.Tolerant); err != nil {
			t.Errorf("%s: ParseVoucher() = %v, want no error", name, err)
		}
		if _, _, err := voucher.ParseVoucher(voucherOf(leaves), voucher.StrictRFC8366); err == nil {
			t.Errorf("%s: strict ParseVoucher() = nil, want an error", name)
		}
	}
}

// nqminds N2.
func TestRequestUnderTheVoucherRootIsAFindingOrRefusedWhenStrict(t *testing.T) {
	text := voucherOf(map[string]string{"serial-number": `"PEER-0001"`})
	_, findings, err := voucher.ParseRequest(text, voucher.Tolerant)
	if got := findingIDs(findings); err != nil || !slices.Equal(got, []string{voucher.FindingVoucherRootInRequest}) {
		t.Errorf("ParseRequest() = %v, %v, want a finding about the root", got, err)
	}
	if _, _, err := voucher.ParseRequest(text, voucher.StrictRFC8366); !errors.Is(err, voucher.ErrRoot) {
		t.Errorf("strict ParseRequest() = %v, want %v", err, voucher.ErrRoot)
	}
}

func TestFindingsComeInOrderOfAppearance(t *testing.T) {
	_, findings, err := voucher.ParseRequest([]byte(`{"ietf-voucher:voucher":{"zebra":1,"created-on":"2017-09-01",`+
		`"ant":2,"serial-number":"x","nonce":"abcd1234","extension:e":0,"bee":3}}`), voucher.Tolerant)
	want := []string{voucher.FindingVoucherRootInRequest, voucher.FindingUnknownLeaf, voucher.FindingDateWithoutTime,
		voucher.FindingUnknownLeaf, voucher.FindingNonceLength, voucher.FindingExtensionUnlisted, voucher.FindingUnknownLeaf}
	if got := findingIDs(findings); err != nil || !slices.Equal(got, want) {
		t.Errorf("ParseRequest() = %v, %v, want %v", got, err, want)
	}
}

// RFC 3339, Section 5.6; reach R2.
func TestFractionsAndOffsetsAreReadAsUTC(t *testing.T) {
	for text, want := range map[string]time.Time{
		"2026-11-22T22:35:08.307+00:00": time.Date(2026, 11, 22, 22, 35, 8, 307e6, time.UTC),
		"2021-04-13T17:43:23.747-04:00": time.Date(2021, 4, 13, 21, 43, 23, 747e6, time.UTC),
		"2021-04-13T21:43:23Z":          time.Date(2021, 4, 13, 21, 43, 23, 0, time.UTC),
		"1973-11-29T21:33:09-00:00":     time.Date(1973, 11, 29, 21, 33, 9, 0, time.UTC),
	} {
		v, findings, err := voucher.ParseVoucher(voucherOf(with(goodVoucher(), "created-on", `"`+text+`"`)), voucher.StrictRFC8366)
		if err != nil || len(findings) > 0 || !v.CreatedOn.Equal(want) || v.CreatedOn.Location() != time.UTC {
			t.Errorf("created-on %s = %v, %v, %v, want %s", text, v, findings, err, want)
		}
	}
}

func TestUnknownLeavesAreKeptAndRefusedByRegistrarAndMASAOnly(t *testing.T) {
	text := payload("ietf-voucher-request:voucher", map[string]string{
		"serial-number":            `"PEER-0001"`,
		"nonce":                    `"yrtSQhecSZPc4PVZDes6xw=="`,
		"extensions":               `["x","listed-only"]`,
		"extension:x":              `{"y":1}`,
		"manufacturer-proprietary": `"AQID"`,
	})
	r, _, err := voucher.ParseRequest(text, voucher.Tolerant)
	if err != nil {
		t.Fatalf("ParseRequest() = %v", err)
	}
	if err := voucher.CheckRequest(r); err != nil {
		t.Errorf("CheckRequest with an extension and manufacturer-proprietary = %v, want nil", err)
	}
	if data, listed := r.Extensions["extension:listed-only"]; !listed || data != nil {
		t.Errorf("Extensions[listed-only] = %q, %t, want nil, true", data, listed)
	}
	text = []byte(strings.Replace(string(text), `"nonce"`, `"colour":{"a":"red"},"Nonce":1,"nonce"`, 1))
	if r, _, err = voucher.ParseRequest(text, voucher.Tolerant); err != nil {
		t.Fatalf("ParseRequest(%s) = %v, want unknown leaves taken", text, err)
	}
	if string(r.Unknown["colour"]) != `{"a":"red"}` || string(r.Unknown["Nonce"]) != `1` {
		t.Errorf("Unknown = %s, want both leaves", r.Unknown)
	}
	var leaf *voucher.LeafError
	if err := voucher.RefuseUnknown(r); !errors.Is(err, voucher.ErrUnknownLeaf) || !errors.As(err, &leaf) || leaf.Leaf != "Nonce" {
		t.Errorf("RefuseUnknown() = %v, want ErrUnknownLeaf about Nonce", err)
	}
}

// minerva's highway has a request with the pledge's JSON instead of its artifact.
func TestPriorRequestThatIsAnObjectIsKeptAsUnknownAndThenRefused(t *testing.T) {
	text := payload("ietf-voucher-request:voucher", map[string]string{
		"serial-number":                `"PEER-0001"`,
		"prior-signed-voucher-request": `{"nonce":"abc"}`,
	})
	r, findings, err := voucher.ParseRequest(text, voucher.Tolerant)
	if err != nil || !slices.Equal(findingIDs(findings), []string{voucher.FindingPriorNotArtifact}) || r.PriorSignedVoucherRequest != nil {
		t.Fatalf("ParseRequest() = %+v, %v, %v", r, findings, err)
	}
	if err := voucher.CheckRequest(r); !errors.Is(err, voucher.ErrUnknownLeaf) {
		t.Errorf("CheckRequest() = %v, want %v", err, voucher.ErrUnknownLeaf)
	}
	if _, _, err := voucher.ParseRequest(text, voucher.StrictRFC8366); !errors.Is(err, voucher.ErrLeafType) {
		t.Errorf("strict ParseRequest() = %v, want %v", err, voucher.ErrLeafType)
	}
}

func TestCheckRequestRefusesAShortNonce(t *testing.T) {
	r := &voucher.Request{SerialNumber: "PEER-0001", Nonce: "abcd1234"}
	if err := voucher.CheckRequest(r); !errors.Is(err, voucher.ErrNonce) {
		t.Errorf("CheckRequest() = %v, want %v", err, voucher.ErrNonce)
	}
	r.Nonce = ""
	if err := voucher.CheckRequest(r); err != nil {
		t.Errorf("CheckRequest of a nonceless request = %v, want nil", err)
	}
}

func sample(t *testing.T) *voucher.Voucher {
	t.Helper()
	return &voucher.Voucher{
		Assertion:        voucher.Logged,
		CreatedOn:        time.Date(2026, 11, 22, 22, 21, 7, 999, time.FixedZone("", 3600)),
		SerialNumber:     "PEER-0001",
		Nonce:            "r_nxO6eY1SqtTUBNlNlWJQ",
		PinnedDomainCert: testpki.NewRoot(t, "Domain CA").Certificate.Raw,
	}
}

func TestMarshalVoucherWritesUTCWholeSecondsInItsContainer(t *testing.T) {
	v := sample(t)
	got, err := voucher.MarshalVoucher(v)
	want := `{"ietf-voucher:voucher":{"created-on":"2026-11-22T21:21:07Z","assertion":"logged","serial-number":"PEER-0001",` +
		`"pinned-domain-cert":"` + base64.StdEncoding.EncodeToString(v.PinnedDomainCert) + `","nonce":"r_nxO6eY1SqtTUBNlNlWJQ"}}`
	if err != nil || string(got) != want {
		t.Errorf("MarshalVoucher() = %s, %v\nwant %s", got, err, want)
	}
}

// BRSKI-8366BIS-8.4-03: last-renewal-date only together with expires-on.
// BRSKI-8366BIS-8.4-04: est-domain and additional-configuration-url are URIs.
func TestMarshalVoucherRefusesWhatRFC8366Forbids(t *testing.T) {
	for _, c := range []struct {
		name, leaf string
		change     func(*voucher.Voucher)
		want       error
	}{
		{"no serial-number", "serial-number", func(v *voucher.Voucher) { v.SerialNumber = "" }, voucher.ErrMissingLeaf},
		{"no assertion", "assertion", func(v *voucher.Voucher) { v.Assertion = "" }, voucher.ErrMissingLeaf},
		{"no created-on", "created-on", func(v *voucher.Voucher) { v.CreatedOn = time.Time{} }, voucher.ErrMissingLeaf},
		{"no pin", "pinned-domain-cert", func(v *voucher.Voucher) { v.PinnedDomainCert = nil }, voucher.ErrMissingLeaf},
		{"nonce and expires-on", "expires-on", func(v *voucher.Voucher) { v.ExpiresOn = v.CreatedOn }, voucher.ErrNonceWithExpiresOn},
		{"short nonce", "nonce", func(v *voucher.Voucher) { v.Nonce = "abcd1234" }, voucher.ErrNonce},
		{"unknown assertion", "assertion", func(v *voucher.Voucher) { v.Assertion = "sure" }, voucher.ErrLeafValue},
		{"pin is no certificate", "pinned-domain-cert", func(v *voucher.Voucher) { v.PinnedDomainCert = []byte{1} }, voucher.ErrLeafValue},
		{"expires after the pin", "expires-on", func(v *voucher.Voucher) {
			v.Nonce, v.ExpiresOn = "", v.CreatedOn.AddDate(50, 0, 0)
		}, voucher.ErrLeafValue},
		{"last-renewal-date alone", "last-renewal-date", func(v *voucher.Voucher) { v.LastRenewalDate = v.CreatedOn }, voucher.ErrLeafValue},
		{"serial-number not UTF-8", "serial-number", func(v *voucher.Voucher) { v.SerialNumber = "\xff" }, voucher.ErrLeafValue},
		{"year 10000", "created-on", func(v *voucher.Voucher) { v.CreatedOn = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, voucher.ErrDate},
		{"bad URI", "est-domain", func(v *voucher.Voucher) { v.ESTDomain = "est" }, voucher.ErrLeafValue},
		{"bad configuration URI", "additional-configuration-url", func(v *voucher.Voucher) { v.AdditionalConfigurationURL = "/x" }, voucher.ErrLeafValue},
		{"bad extension", "extension:", func(v *voucher.Voucher) {
			v.Extensions = map[string]json.RawMessage{"extension:": nil}
		}, voucher.ErrLeafValue},
		{"malformed JSON", "manufacturer-proprietary", func(v *voucher.Voucher) {
			v.ManufacturerProprietary = json.RawMessage(`{"a":1,}`)
		}, voucher.ErrSyntax},
		{"known leaf among the unknown", "nonce", func(v *voucher.Voucher) {
			v.Unknown = map[string]json.RawMessage{"nonce": json.RawMessage(`1`)}
		}, voucher.ErrDuplicateLeaf},
	} {
		v := sample(t)
		c.change(v)
		_, err := voucher.MarshalVoucher(v)
		var leaf *voucher.LeafError
		if !errors.Is(err, c.want) || !errors.As(err, &leaf) || leaf.Leaf != c.leaf {
			t.Errorf("%s: MarshalVoucher() = %v, want %v about %s", c.name, err, c.want, c.leaf)
		}
	}
}

func TestMarshalRequestNeedsASerialNumberAndNotBothNonceAndExpiry(t *testing.T) {
	if _, err := voucher.MarshalRequest(&voucher.Request{Nonce: voucher.NewNonce()}); !errors.Is(err, voucher.ErrMissingLeaf) {
		t.Errorf("MarshalRequest without serial-number = %v, want %v", err, voucher.ErrMissingLeaf)
	}
	_, err := voucher.MarshalRequest(&voucher.Request{SerialNumber: "x", Nonce: voucher.NewNonce(), ExpiresOn: time.Unix(1e9, 0)})
	if !errors.Is(err, voucher.ErrNonceWithExpiresOn) {
		t.Errorf("MarshalRequest with nonce and expires-on = %v, want %v", err, voucher.ErrNonceWithExpiresOn)
	}
}

// nqminds N4 does not decode escapes.
func TestNothingIsEscapedThatNeedNotBe(t *testing.T) {
	text, err := voucher.MarshalRequest(&voucher.Request{SerialNumber: "A&B<C>/ü", Nonce: "ab+/cdefghi="})
	if err != nil || strings.Contains(string(text), `\`) {
		t.Errorf("MarshalRequest() = %s, %v, want no escapes", text, err)
	}
}

func fromBase64(t *testing.T, text string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

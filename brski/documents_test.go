package brski_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/briskest/briskest/brski"
)

// vector reads one of other people's examples, or skips.
func vector(t *testing.T, name string) []byte {
	t.Helper()
	folder := os.Getenv("BRISKEST_VECTORS")
	if folder == "" {
		t.Skip("BRISKEST_VECTORS is not set: the RFC's examples are not at hand")
	}
	data, err := os.ReadFile(filepath.Join(folder, "brski", "json-telemetry-auditlog", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// BRSKI-8995-5.8.1-02: the audit-log's numbers are strings there.
// RFC 8995, Sections 5.7, 5.8.1 and 5.9.4.
func TestExamplesOfTheRFCAreRead(t *testing.T) {
	for name, status := range map[string]bool{"example-telemetry.json": false, "example-enrollstatus.json": true} {
		s, err := brski.ParseStatus(vector(t, name))
		if err != nil || s.Version != 1 || s.Status != status || s.Reason == "" || s.ReasonContext["additional"] != "JSON" {
			t.Errorf("ParseStatus(%s) = %+v, %v", name, s, err)
		}
	}
	l, err := brski.ParseAuditLog(vector(t, "example-auditlog.json"))
	if err != nil || l.Version != 1 || len(l.Events) != 2 || l.Truncation.NoncelessDuplicates != 1 || l.Truncation.Arbitrary != 2 {
		t.Fatalf("ParseAuditLog = %+v, %v", l, err)
	}
	if e := l.Events[0]; *e.Nonce != "VOUFT-WwrEv0NuAQEHoV7Q" || e.Assertion != "proximity" || e.DomainID != "BduJhdHPpfhQLyponf48JzXSGZ8=" {
		t.Errorf("event = %+v", e)
	}
}

func TestParseStatusIsStrictInWhatItKnows(t *testing.T) {
	deep := strings.Repeat("[", 20) + strings.Repeat("]", 20)
	for text, ok := range map[string]bool{
		`{"version":1,"status":true}`:                               true,
		` {"status":false,"version":0} `:                            true,
		`{"version":9,"status":true,"new":{"a":[1]}}`:               true,
		`{"version":1,"status":true,"reason-context":"literal"}`:    true,
		`{"version":1,"status":true,"reason-context":null}`:         true,
		`{"version":1,"status":true,"Reason":1}`:                    true, // another key
		``:                                                          false,
		`null`:                                                      false,
		`"x"`:                                                       false,
		`{`:                                                         false,
		`{"version":1,"status":true`:                                false,
		`{"version":1,"status":true}}`:                              false,
		`{"version":1,"status":true}{}`:                             false,
		`{"version":1}`:                                             false,
		`{"status":true}`:                                           false,
		`{"Version":1,"status":true}`:                               false,
		`{"version":"1","status":true}`:                             false,
		`{"version":-1,"status":true}`:                              false,
		`{"version":1.5,"status":true}`:                             false,
		`{"version":1e2,"status":true}`:                             false,
		`{"version":99999999999,"status":true}`:                     false,
		`{"version":1,"status":"true"}`:                             false,
		`{"version":1,"status":null}`:                               false,
		`{"version":1,"status":1}`:                                  false,
		`{"version":1,"status":true,"reason":1}`:                    false,
		`{"version":1,"status":true,"reason":null}`:                 false,
		`{"version":1,"version":1,"status":true}`:                   false,
		`{"version":1,"st\u0061tus":true,"status":true}`:            false,
		`{"version":1,"status":true,"reason":"` + "\xff" + `"}`:     false,
		`{"version":1,"status":true,"reason-context":` + deep + `}`: false,
	} {
		s, err := brski.ParseStatus([]byte(text))
		if (err == nil) != ok || (!ok && !errors.Is(err, brski.ErrStatus)) {
			t.Errorf("ParseStatus(%s) = %+v, %v; want ok %v", text, s, err, ok)
		}
	}
	s, err := brski.ParseStatus([]byte(`{"version":1,"status":false,"reason":"` + strings.Repeat("é", 600) + `","reason-context":7}`))
	if err != nil || len(s.Reason) != 1024 || s.ReasonContext["value"] != json.Number("7") {
		t.Errorf("ParseStatus = %d bytes of reason, %v, %v; want 1024 and the literal", len(s.Reason), s.ReasonContext, err)
	}
}

// H4: minerva's highway leaves domainID and assertion out.
// BRSKI-8995-5.8.1-02: numbers as strings are taken.
func TestParseAuditLogTakesWhatIsSeen(t *testing.T) {
	event := func(members string) string { return `{"version":1,"events":[{` + members + `}]}` }
	for text, ok := range map[string]bool{
		event(`"date":"2026-11-22T22:35:08.307+00:00","registrarID":"aGk=","nonce":"abc"`):                              true,
		event(`"date":"2026-11-22T22:35:08Z","nonce":"NULL"`):                                                           true,
		event(`"date":"2026-11-22T22:35:08Z","nonce":null,"truncated":"0"`):                                             true,
		`{"version":"1","events":[],"truncation":{"nonced duplicates":"0","nonceless duplicates":"1","arbitrary":"2"}}`: true,
		`{"version":2,"events":[],"more":1}`:                                                                            true,
		`{"version":1,"events":[],"truncation":null}`:                                                                   true,
		event(`"nonce":"abc"`):                                false,
		event(`"date":"yesterday"`):                           false,
		event(`"date":"2026-11-22T22:35:08Z","nonce":7`):      false,
		event(`"date":"2026-11-22T22:35:08Z","truncated":-1`): false,
		event(`"date":"2026-11-22T22:35:08Z","assertion":{}`): false,
		`{"version":1}`:                            false,
		`{"events":[]}`:                            false,
		`{"version":1,"events":{}}`:                false,
		`{"version":1,"events":[null]}`:            false,
		`{"version":1,"events":[],"truncation":1}`: false,
		`[]`: false,
	} {
		l, err := brski.ParseAuditLog([]byte(text))
		if (err == nil) != ok || (!ok && !errors.Is(err, brski.ErrAuditLog)) {
			t.Errorf("ParseAuditLog(%s) = %+v, %v; want ok %v", text, l, err, ok)
		}
	}
	many := `{"version":1,"events":[` + strings.TrimSuffix(strings.Repeat(`{"date":"2026-11-22T22:35:08Z"},`, brski.MaxAuditEvents+1), ",") + `]}`
	if _, err := brski.ParseAuditLog([]byte(many)); !errors.Is(err, brski.ErrAuditLog) {
		t.Errorf("ParseAuditLog of %d events = %v, want an error", brski.MaxAuditEvents+1, err)
	}
	if _, err := brski.ParseAuditLog(make([]byte, brski.MaxAuditLog+1)); !errors.Is(err, brski.ErrAuditLog) {
		t.Errorf("ParseAuditLog above the limit = %v, want an error", err)
	}
}

func TestAuditLogThatWasReceivedIsPassedOnAsItIs(t *testing.T) {
	raw := []byte(`{ "version": "1", "events": [ ] }`)
	l, err := brski.ParseAuditLog(raw)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := brski.MarshalAuditLog(l); err != nil || string(out) != string(raw) {
		t.Errorf("MarshalAuditLog = %s, %v, want the bytes received", out, err)
	}
	out, err := brski.MarshalAuditLog(&brski.AuditLog{})
	if want := `{"version":1,"events":[],"truncation":{}}`; err != nil || string(out) != want {
		t.Errorf("MarshalAuditLog of nothing = %s, %v, want %s", out, err, want)
	}
}

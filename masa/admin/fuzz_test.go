package admin_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/briskest/briskest/masa/admin"
)

// FuzzRequests posts JSON to every operation: there is an answer in JSON, and
// what is not understood is no success.
func FuzzRequests(f *testing.F) {
	for _, path := range []string{
		"devices/import", "devices/show", "devices/list", "devices/block", "devices/unblock", "owners/add", "owners/import", "owners/end",
		"claims/create", "claims/redeem", "devices/audit-log", "vouchers/list", "vouchers/carried",
	} {
		for _, seed := range []string{
			`{}`, `{"serial_number":"x"}`, `{"product":"widget","devices":[{"serial_number":"x","idevid":"MAA="}],"by":"f"}`,
			`{"serial_number":"x","certificate":"MAA=","replace":true}`, `{"code":"AAAAA"}`, `{"limit":-1}`, `{"media_type":"x","request":"H4A="}`, `{`, "\x1f\x80",
		} {
			f.Add(path, []byte(seed))
		}
	}
	h := admin.Handler(newService(f), nil)
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/x", bytes.NewReader(body))
		r.URL.Path = "/v1/" + path
		h.ServeHTTP(w, r)
		if w.Body.Len() == 0 && w.Code >= 400 {
			t.Errorf("%s %q: %d without a text", path, body, w.Code)
		}
		if w.Header().Get("Content-Type") == "application/json" && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %q: the answer is not JSON: %q", path, body, w.Body)
		}
		if w.Code == http.StatusOK && !json.Valid(body) {
			t.Errorf("%s takes %q, which is not JSON", path, body)
		}
	})
}

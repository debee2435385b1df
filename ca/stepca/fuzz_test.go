package stepca_test

import (
	"encoding/json"
	"testing"

	"github.com/briskest/briskest/ca/catest"
	"github.com/briskest/briskest/ca/stepca"
)

func FuzzAnswerToSign(f *testing.F) {
	foreign := catest.NewForeign(f)
	root, issuing := encode(foreign.Root.Raw), encode(foreign.Issuing.Raw)
	for _, answer := range []any{
		map[string]any{"crt": issuing, "ca": root, "certChain": []string{issuing, root}},
		map[string]any{"crt": issuing + root}, map[string]any{"crt": 7}, map[string]any{"crt": issuing, "certChain": []string{"", root}}, nil,
	} {
		text, err := json.Marshal(answer)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		raw, between, err := stepca.ReadSigned(body)
		if err == nil && len(raw) == 0 || err != nil && raw != nil || len(between) > 8 {
			t.Errorf("%d bytes, %d CAs, %v", len(raw), len(between), err)
		}
	})
}

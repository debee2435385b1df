package vaultca_test

import (
	"encoding/json"
	"testing"

	"github.com/briskest/briskest/ca/catest"
	"github.com/briskest/briskest/ca/vaultca"
)

func FuzzAnswers(f *testing.F) {
	foreign := catest.NewForeign(f)
	root, issuing := encode(foreign.Root.Raw), encode(foreign.Issuing.Raw)
	for _, answer := range []any{
		data(map[string]any{"certificate": issuing, "ca_chain": []string{root}}), data(map[string]any{"certificate": issuing + root}),
		map[string]any{"auth": map[string]any{"client_token": "t", "lease_duration": -1, "renewable": true}},
		map[string]any{"errors": []string{"no\x1b[31m\n"}}, map[string]any{"data": nil}, nil,
	} {
		text, err := json.Marshal(answer)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		raw, between, _, said, err := vaultca.ReadAnswers(body)
		if err == nil && len(raw) == 0 || err != nil && raw != nil || len(between) > 8 {
			t.Errorf("%d bytes, %d CAs, %v", len(raw), len(between), err)
		}
		for _, c := range []byte(said) {
			if c < ' ' || c > '~' {
				t.Errorf("the sentence %q is not fit for a log", said)
			}
		}
	})
}

package policy_test

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/x509"
	"slices"
	"testing"

	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/registrar/policy"
)

func planFor(t *testing.T, d *profile.Document) *est.CSRPlan {
	t.Helper()
	p, err := profile.New(d)
	if err != nil {
		t.Fatalf("profile.New: %v", err)
	}
	return policy.Profile(p).Rules().CSR
}

// RFC 9908, Section 3.2: a list names one type of key.
func TestAPlanNamesTheKeyOnlyWhereThereIsNoChoice(t *testing.T) {
	for what, c := range map[string]struct {
		keys []profile.KeyRule
		want *est.KeyPlan
		hash crypto.Hash
	}{
		"P-384":            {[]profile.KeyRule{{Type: "ecdsa", Curves: []string{"p384"}}}, &est.KeyPlan{Algorithm: x509.ECDSA, Curve: elliptic.P384()}, crypto.SHA384},
		"two curves":       {[]profile.KeyRule{{Type: "ecdsa"}}, &est.KeyPlan{Algorithm: x509.ECDSA}, 0},
		"RSA 3072":         {[]profile.KeyRule{{Type: "rsa", MinBits: 3072, MaxBits: 3072}}, &est.KeyPlan{Algorithm: x509.RSA, Bits: 3072}, crypto.SHA256},
		"RSA":              {[]profile.KeyRule{{Type: "rsa"}}, &est.KeyPlan{Algorithm: x509.RSA}, crypto.SHA256},
		"Ed25519":          {[]profile.KeyRule{{Type: "ed25519"}}, &est.KeyPlan{Algorithm: x509.Ed25519}, 0},
		"two types of key": {[]profile.KeyRule{{Type: "ecdsa"}, {Type: "rsa"}}, nil, 0},
	} {
		d := profile.LDevID()
		d.Keys = c.keys
		plan := planFor(t, d)
		if (plan.Key == nil) != (c.want == nil) || plan.Key != nil && *plan.Key != *c.want || plan.Hash != c.hash {
			t.Errorf("%s: key %+v, hash %v; want %+v, %v", what, plan.Key, plan.Hash, c.want, c.hash)
		}
	}
}

// RFC 9908, Section 3.4: an address to be filled in stands beside the names that are given; where other names are open,
// there is no value.
func TestAPlanGivesTheAlternativeNamesAsFarAsTheyAreKnown(t *testing.T) {
	for what, c := range map[string]struct {
		rules profile.NameRules
		want  []byte
		none  bool
	}{
		"no names": {profile.NameRules{}, nil, true},
		"may":      {profile.NameRules{DNS: &profile.NameRule{Request: true}}, nil, true},
		"given":    {profile.NameRules{DNS: &profile.NameRule{Values: []string{"a.example"}}}, []byte("\x30\x0b\x82\x09a.example"), false},
		"an address": {
			profile.NameRules{IP: &profile.IPRule{Request: true, Required: true}}, []byte("\x30\x02\x87\x00"), false,
		},
		"given, and an address": {
			profile.NameRules{DNS: &profile.NameRule{Values: []string{"a.example"}}, IP: &profile.IPRule{Request: true, Required: true}},
			[]byte("\x30\x0d\x82\x09a.example\x87\x00"), false,
		},
		"given, and another": {
			profile.NameRules{DNS: &profile.NameRule{Values: []string{"a.example"}}, URI: &profile.NameRule{Request: true, Required: true}}, nil, false,
		},
	} {
		d := profile.LDevID()
		d.SAN = c.rules
		plan := planFor(t, d)
		i := slices.IndexFunc(plan.Extensions, func(e est.PlannedExtension) bool { return e.ID.String() == "2.5.29.17" })
		if (i < 0) != c.none || i >= 0 && !bytes.Equal(plan.Extensions[i].Value, c.want) {
			t.Errorf("%s: %+v, want %x, none %v", what, plan.Extensions, c.want, c.none)
		}
		if _, err := plan.Marshal(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

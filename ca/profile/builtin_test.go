package profile_test

import (
	"crypto/rsa"
	"errors"
	"testing"

	"github.com/briskest/briskest/ca/profile"
)

func documents() []*profile.Document { return profile.Shipped() }

func TestBuiltInProfilesPassTheirOwnLint(t *testing.T) {
	for _, d := range documents() {
		p, err := profile.New(d)
		if err != nil {
			t.Errorf("New(%s): %v", d.Name, err)
			continue
		}
		if len(p.Warnings()) > 0 {
			t.Errorf("%s: the linter finds %q", p.Name(), p.Warnings())
		}
		t.Logf("%s %s: %d warnings %q", p.Name(), p.Version(), len(p.Warnings()), p.Warnings())
	}
}

func TestASetHasOneProfileOfEachName(t *testing.T) {
	set, err := profile.NewSet(documents()...)
	if err != nil || len(set) != len(documents()) || set["device"].Name() != "device" {
		t.Errorf("NewSet = %d profiles, %v", len(set), err)
	}
	if _, err := profile.NewSet(profile.Device(), profile.Device()); !errors.Is(err, profile.ErrDocument) {
		t.Errorf("NewSet of one twice = %v, want ErrDocument", err)
	}
}

// BenchmarkNew is what each profile costs when a program starts.
func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		if _, err := profile.New(profile.Device()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCheckKeyRSA is what an RSA key costs besides its CSR's signature.
func BenchmarkCheckKeyRSA(b *testing.B) {
	p := mustNew(b, profile.Device())
	key := &rsa.PublicKey{N: modulus(b, 2048), E: 65537}
	for b.Loop() {
		if err := p.CheckKey(key); err != nil {
			b.Fatal(err)
		}
	}
}

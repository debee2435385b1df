package profile_test

import (
	"testing"

	"github.com/briskest/briskest/ca/profile"
)

func documents() []*profile.Document {
	return []*profile.Document{
		profile.Device(), profile.LDevID(), profile.Registrar(), profile.MASA(), profile.VoucherSigner(), profile.RAClient(),
		profile.IDevID("masa.example.com"), profile.RootCA("3650d", 1), profile.IssuingCA("1825d", 0),
	}
}

func TestBuiltInProfilesPassTheirOwnLint(t *testing.T) {
	for _, d := range documents() {
		p, err := profile.New(d)
		if err != nil {
			t.Errorf("New(%s): %v", d.Name, err)
			continue
		}
		t.Logf("%s %s: %d warnings %q", p.Name(), p.Version(), len(p.Warnings()), p.Warnings())
	}
}

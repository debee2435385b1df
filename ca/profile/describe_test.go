package profile_test

import (
	"bytes"
	"crypto/elliptic"
	"encoding/asn1"
	"testing"

	"github.com/briskest/briskest/ca/profile"
)

func describe(t *testing.T, d *profile.Document) *profile.Description {
	t.Helper()
	p, err := profile.New(d)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	description, err := p.Describe()
	if err != nil {
		t.Fatalf("Describe: %v", err)
	}
	return description
}

func TestDescribeTellsWhatARequestHasToHold(t *testing.T) {
	d := profile.LDevID()
	d.Subject.Attributes = append(d.Subject.Attributes,
		profile.AttributeRule{Type: "organization", Value: "Example Ltd"}, profile.AttributeRule{Type: "dn_qualifier", Value: "{device_id}"})
	d.SAN = profile.NameRules{
		DNS: &profile.NameRule{Values: []string{"devices.example.com", "{serial_number}.example.com"}},
		IP:  &profile.IPRule{Request: true, Required: true},
	}
	got := describe(t, d)
	if len(got.Keys) != 3 || got.Keys[0].Type != "ecdsa" || len(got.Keys[0].Curves) != 2 || got.Keys[1].MinBits != 2048 || got.Keys[2].Type != "ed25519" {
		t.Errorf("Keys = %+v", got.Keys)
	}
	// What depends on the device is left out, and so is what may be left out.
	want := []profile.AttributeDescription{
		{Type: asn1.ObjectIdentifier{2, 5, 4, 5}},
		{Type: asn1.ObjectIdentifier{2, 5, 4, 10}, Value: []byte("\x13\x0bExample Ltd")},
	}
	if len(got.Subject) != len(want) {
		t.Fatalf("Subject = %+v, want %+v", got.Subject, want)
	}
	for i := range want {
		if !got.Subject[i].Type.Equal(want[i].Type) || !bytes.Equal(got.Subject[i].Value, want[i].Value) {
			t.Errorf("Subject[%d] = %+v, want %+v", i, got.Subject[i], want[i])
		}
	}
	if n := got.AltNames; n == nil || !n.Open || !n.OnlyAddresses || n.Critical || string(n.Value) != "\x30\x15\x82\x13devices.example.com" {
		t.Errorf("AltNames = %+v", got.AltNames)
	}
	if !bytes.Equal(got.KeyUsage, []byte{3, 2, 7, 0x80}) || len(got.ExtendedKeyUsage) != 12 {
		t.Errorf("KeyUsage %x, ExtendedKeyUsage %x", got.KeyUsage, got.ExtendedKeyUsage)
	}
}

func TestDescribeLeavesOutWhatIsFree(t *testing.T) {
	got := describe(t, profile.Device())
	if got.Subject != nil || got.AltNames != nil || got.KeyUsage != nil {
		t.Errorf("Describe of a profile that takes what is asked = %+v", got)
	}
	d := profile.Registrar()
	d.Keys = []profile.KeyRule{{Type: "ecdsa", Curves: []string{"p384"}}}
	if got = describe(t, d); got.AltNames == nil || !got.AltNames.Open || got.AltNames.OnlyAddresses || got.AltNames.Value != nil {
		t.Errorf("AltNames of a profile that wants any = %+v", got.AltNames)
	}
	if len(got.Keys) != 1 || got.Keys[0].Curves[0] != elliptic.P384() {
		t.Errorf("Keys = %+v", got.Keys)
	}
}

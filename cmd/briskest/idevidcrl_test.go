package main

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/internal/revocation"
	"github.com/briskest/briskest/internal/testpki"
)

// A vendor without a PKI takes a device back: it is blocked at the MASA, and
// every registrar that looks into the vendor's list refuses its IDevID.
func TestTheIDevIDOfABlockedDeviceIsRevoked(t *testing.T) {
	v := newVendor(t)
	config := v.dir.path("masa.yaml")
	for _, serial := range []string{"W-1", "W-2"} {
		v.issued(v.csr(serial+".csr", serial, testpki.NewKey(t)))
	}
	root, err := pemfile.Certificates(v.dir.path("masa/idevid/root.pem"))
	if err != nil {
		t.Fatal(err)
	}
	revoked := func(serial string) bool {
		t.Helper()
		file := v.dir.path("ca.crl")
		v.must("masa", "idevid", "crl", "--config", config, "--product", "widget", "--out", file)
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lists, err := revocation.ParseLists("ca.crl", data)
		if err != nil {
			t.Fatal(err)
		}
		k, err := revocation.New(revocation.Config{Lists: lists})
		if err != nil {
			t.Fatal(err)
		}
		var r *revocation.Revoked
		err = k.Check(t.Context(), append(v.chain(serial), root[0]), time.Now())
		if err != nil && (!errors.As(err, &r) || r.Reason != holdReason) {
			t.Fatalf("Check(%s) = %v", serial, err)
		}
		return err != nil
	}
	v.must("masa", "block", "W-1", "--reason", "stolen", "--config", config)
	if !revoked("W-1") || revoked("W-2") {
		t.Errorf("W-1 is blocked; revoked: W-1 %t, W-2 %t", revoked("W-1"), revoked("W-2"))
	}
	v.must("masa", "unblock", "W-1", "--config", config)
	if revoked("W-1") {
		t.Error("W-1 was unblocked and is still revoked")
	}
	_, _, code := v.run("masa", "idevid", "crl", "--config", config, "--product", "widget", "--out", v.dir.path("x"), "--lifetime", "0s")
	if code != cli.ExitUsage {
		t.Errorf("a list that is never current: exit %d", code)
	}
}

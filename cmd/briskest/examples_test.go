package main_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/testbed"
)

// M06: into a network by 802.1X, onto an MQTT broker, to a cloud IoT service.
func TestTheWorkedExamplesRunAsTheyAreWritten(t *testing.T) {
	shell := testbed.Require(t, "bash")
	for _, program := range []string{"freeradius", "eapol_test", "mosquitto", "mosquitto_pub", "openssl"} {
		testbed.Require(t, program)
	}
	bed := testbed.Start(t)
	t.Setenv("BRISKEST", bed.Program)
	// The last one revokes the device.
	for _, name := range []string{"cloud", "mqtt", "8021x"} {
		out, errs, code := testbed.Run(t, shell, filepath.Join("..", "..", "docs", "examples", name, "run.sh"), bed.Dir)
		if code != 0 || !strings.Contains(out, "refused, as it should be") {
			t.Errorf("%s: exit %d\n%s\n%s", name, code, out, errs)
		}
	}
}

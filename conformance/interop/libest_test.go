package interop_test

import (
	"os"
)

// driveLibest drives Cisco's estclient, the example of libest, when BRISKEST_LIBEST names it: no Debian package has it.
func driveLibest(c *client) {
	program := os.Getenv("BRISKEST_LIBEST")
	if program == "" {
		c.t.Skip("BRISKEST_LIBEST does not name libest's estclient: nothing is tested with it")
	}
}

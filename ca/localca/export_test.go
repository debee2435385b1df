package localca

import "crypto"

// KeyOf returns the CA's key.
func KeyOf(c *CA) crypto.Signer { return c.key }

package cms

import "testing"

// For the published test vectors of the primitives.
var (
	WrapKey   = wrapKey
	UnwrapKey = unwrapKey
	X963KDF   = x963KDF
)

// Encrypted returns the encrypted content.
func Encrypted(e *Enveloped) []byte { return e.encrypted }

// Ephemeral returns the sender's point in a message to one EC recipient.
func Ephemeral(t testing.TB, data []byte) []byte {
	t.Helper()
	e, err := ParseEnveloped(data)
	if err != nil {
		t.Fatal(err)
	}
	return e.Recipients[0].ephemeral
}

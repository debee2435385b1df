package cms

import (
	"crypto"
	"testing"
)

// X963KDF derives a key, for the published test vectors.
func X963KDF(h crypto.Hash, z, sharedInfo []byte, size int) []byte {
	return x963KDF(h, z, sharedInfo, size)
}

// Encrypted returns the encrypted content.
func Encrypted(e *Enveloped) []byte { return e.encrypted }

// Ephemeral returns the sender's point in a message to one EC recipient.
func Ephemeral(t testing.TB, data []byte) []byte {
	t.Helper()
	return firstRecipient(t, data).ephemeral
}

// EncryptedKey returns the encrypted content key of the first recipient.
func EncryptedKey(t testing.TB, data []byte) []byte {
	t.Helper()
	return firstRecipient(t, data).encryptedKey
}

func firstRecipient(t testing.TB, data []byte) *Recipient {
	t.Helper()
	e, err := ParseEnveloped(data)
	if err != nil {
		t.Fatal(err)
	}
	return e.Recipients[0]
}

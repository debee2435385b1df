package cms_test

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/briskest/briskest/internal/cms"
)

// RFC 3394, Sections 4.1, 4.2, 4.3, 4.5 and 4.6.
func TestKeyWrapGivesThePublishedValues(t *testing.T) {
	const kek = "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F"
	for _, test := range []struct {
		kekSize      int
		key, wrapped string
	}{
		{16, "00112233445566778899AABBCCDDEEFF", "1FA68B0A8112B447AEF34BD8FB5A7B829D3E862371D2CFE5"},
		{24, "00112233445566778899AABBCCDDEEFF", "96778B25AE6CA435F92B5B97C050AED2468AB8A17AD84E5D"},
		{32, "00112233445566778899AABBCCDDEEFF", "64E8C3F9CE0F5BA263E9777905818A2A93C8191E7D6E8AE7"},
		{32, "00112233445566778899AABBCCDDEEFF0001020304050607", "A8F9BC1612C68B3FF6E6F4FBE30E71E4769C8B80A32CB8958CD5D17D6B254DA1"},
		{32, "00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F", "28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21"},
	} {
		k := unhex(t, kek)[:test.kekSize]
		wrapped, err := cms.WrapKey(k, unhex(t, test.key))
		if err != nil || !bytes.Equal(wrapped, unhex(t, test.wrapped)) {
			t.Errorf("wrap by %d bytes = %X, %v, want %s", test.kekSize, wrapped, err, test.wrapped)
		}
		key, err := cms.UnwrapKey(k, unhex(t, test.wrapped))
		if err != nil || !bytes.Equal(key, unhex(t, test.key)) {
			t.Errorf("unwrap by %d bytes = %X, %v, want %s", test.kekSize, key, err, test.key)
		}
		for i := range wrapped {
			wrapped[i] ^= 1
			if _, err := cms.UnwrapKey(k, wrapped); !errors.Is(err, cms.ErrDecrypt) {
				t.Errorf("unwrap with byte %d changed: %v, want %v", i, err, cms.ErrDecrypt)
			}
			wrapped[i] ^= 1
		}
	}
	for _, n := range []int{0, 7, 8, 16, 23, 25, 80} {
		if _, err := cms.UnwrapKey(make([]byte, 32), make([]byte, n)); !errors.Is(err, cms.ErrDecrypt) {
			t.Errorf("unwrap of %d bytes: %v, want %v", n, err, cms.ErrDecrypt)
		}
	}
}

// NIST CAVS 12.0, ANSI X9.63-2001, SHA-256, the first vector without and the first with shared information.
func TestX963KDFGivesThePublishedValues(t *testing.T) {
	for _, test := range []struct{ z, info, key string }{
		{"96c05619d56c328ab95fe84b18264b08725b85e33fd34f08", "", "443024c3dae66b95e6f5670601558f71"},
		{"22518b10e70f2a3f243810ae3254139efbee04aa57c7af7d", "75eef81aa3041e33b80971203d2c0c52", "c498af77161cc59f2962b9a713e2b215152d139766ce34a776df11866a69bf2e52a13d9c7c6fc878c50c5ea0bc7b00e0da2447cfd874f6cf92f30d0097111485500c90c3af8b487872d04685d14c8d1dc8d7fa08beb0ce0ababc11f0bd496269142d43525a78e5bc79a17f59676a5706dc54d54d4d1f0bd7e386128ec26afc21"},
	} {
		want := unhex(t, test.key)
		if got := cms.X963KDF(crypto.SHA256, unhex(t, test.z), unhex(t, test.info), len(want)); !bytes.Equal(got, want) {
			t.Errorf("X963KDF(%s, %s) = %s, want %s", test.z, test.info, hex.EncodeToString(got), test.key)
		}
	}
}

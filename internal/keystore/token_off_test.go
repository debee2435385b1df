//go:build !pkcs11

package keystore_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/keystore"
)

func TestABuildWithoutTokensSaysHowToGetThem(t *testing.T) {
	_, opening := keystore.Open(t.Context(), "pkcs11:token=x?pin-value=1234")
	_, creating := keystore.Create(t.Context(), "pkcs11:token=x?pin-value=1234", "")
	for _, err := range []error{opening, creating} {
		if !errors.Is(err, keystore.ErrScheme) || !strings.Contains(err.Error(), "-tags pkcs11") || strings.Contains(err.Error(), "1234") {
			t.Errorf("a pkcs11: URI gives %v, want ErrScheme with the tag to build with and no PIN", err)
		}
	}
}

//go:build pkcs11 && unix

package cryptoki

import (
	"testing"

	"github.com/briskest/briskest/internal/testbed"
)

// Signatures do without the wrapper, as long as it keeps a library as it did
// when that was written; a newer one that does not is found out here.
func TestTheFunctionsOfALibraryAreFoundInTheWrapper(t *testing.T) {
	library, err := Load(testbed.NewSoftHSM(t).Module, "")
	if err != nil {
		t.Fatal(err)
	}
	if !library.functions.direct() {
		t.Error("the wrapper keeps libraries in another way; see sign.go")
	}
}

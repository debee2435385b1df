package storetest_test

import (
	"testing"

	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/masa/storetest"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	storetest.TestStore(t, func(*testing.T) masa.Store { return storetest.NewMemory() })
}

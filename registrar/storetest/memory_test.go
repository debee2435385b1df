package storetest_test

import (
	"errors"
	"testing"

	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/storetest"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	storetest.TestStore(t, func(*testing.T) registrar.Store { return storetest.NewMemory() })
}

func TestMemoryFailsBeforeOrAfterStoringAsTold(t *testing.T) {
	down := errors.New("disk on fire")
	fail := func(*registrar.Change) error { return down }
	put := func(user string) *registrar.Change {
		return &registrar.Change{PutCredentials: []*registrar.Credential{{Domain: "d", User: user}}}
	}
	m := storetest.NewMemory()
	m.FailBefore(fail)
	if err := m.Commit(t.Context(), put("before")); !errors.Is(err, down) {
		t.Errorf("Commit: error %v, want the one of FailBefore", err)
	}
	m.FailBefore(nil)
	m.FailAfter(fail)
	if err := m.Commit(t.Context(), put("after")); !errors.Is(err, down) {
		t.Errorf("Commit: error %v, want the one of FailAfter", err)
	}
	all, err := m.ListCredentials(t.Context(), "d")
	if err != nil || len(all) != 1 || all[0].User != "after" {
		t.Errorf("ListCredentials = %v, %v, want only the one stored before the failure", all, err)
	}
}

package masa_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/sqlitedb"
	"github.com/briskest/briskest/masa"
)

// restored puts a backup in the place of the database, at once or after what f does.
func (w *onDisk) restored(f func()) *masa.Restore {
	w.t.Helper()
	backup := filepath.Join(w.t.TempDir(), "backup.db")
	if _, err := sqlitedb.Copy(w.t.Context(), w.path, backup); err != nil {
		w.t.Fatal(err)
	}
	made := w.at
	w.at = w.at.Add(time.Minute)
	f()
	w.at = w.at.Add(time.Minute)
	w.service.Close()
	if err := w.db.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.path = backup
	w.open()
	r := &masa.Restore{ID: masa.NewID(w.at), Domain: masa.DefaultDomain, MadeAt: made, RestoredAt: w.at, By: "test"}
	if err := w.db.Commit(w.t.Context(), &masa.Change{PutRestores: []*masa.Restore{r}}); err != nil {
		w.t.Fatal(err)
	}
	w.reopen()
	return r
}

func (w *onDisk) confirm() {
	w.t.Helper()
	if _, err := w.service.ConfirmRestore(w.t.Context(), &masa.RestoreConfirmation{By: "test"}); err != nil {
		w.t.Fatal(err)
	}
}

// Issue 6, point 8: a voucher that was issued after the backup is not issued
// again, whoever asks and however often it was signed anew. What is on record is
// answered as before, and a new nonce gets a voucher.
func TestARestoredMASAIssuesNothingASecondTime(t *testing.T) {
	w := newOnDisk(t, nil)
	before := w.ask(w.mine, "before-the-backup")
	kept := before.bytes(t)
	_, first := w.voucher(kept)
	var lost *ask
	w.restored(func() {
		lost = w.ask(w.mine, "after-the-backup")
		w.voucher(lost.bytes(t))
	})
	w.at = w.at.Add(time.Minute)
	if _, again := w.voucher(kept); !bytes.Equal(again, first) {
		t.Error("what is on record was answered with another voucher")
	}
	for _, confirmed := range []bool{false, true} {
		if confirmed {
			w.confirm()
			w.reopen()
		}
		w.refused(lost.bytes(t), 403, masa.ReasonAskedBefore)
		anew := *lost.registrar // the registrar signs again, now
		anew.CreatedOn = w.at
		lost.registrar = &anew
		w.refused(lost.bytes(t), 403, masa.ReasonAskedBefore)
	}
	if n := w.records(); n != 1 {
		t.Errorf("%d issuances on record, want that of the backup", n)
	}
	w.voucher(w.ask(w.mine, "after-the-restore").bytes(t))
	if _, err := w.db.VerifyTrail(t.Context()); err != nil {
		t.Errorf("VerifyTrail: %v", err)
	}
}

// A pledge without a clock says nothing about when it asked; one with a clock
// that was never set says something wrong.
func TestWithoutATimeNothingIsIssuedUntilTheRestoreIsConfirmed(t *testing.T) {
	for name, clock := range map[string]func(now time.Time) time.Time{
		"none":   func(time.Time) time.Time { return time.Time{} },
		"behind": func(now time.Time) time.Time { return now.AddDate(-3, 0, 0) },
		"ahead":  func(now time.Time) time.Time { return now.AddDate(3, 0, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newOnDisk(t, nil)
			var lost *ask
			w.restored(func() {
				lost = w.ask(w.mine, "after-the-backup")
				lost.pledge.CreatedOn = clock(w.at)
				w.voucher(lost.bytes(t))
			})
			w.at = w.at.Add(time.Minute)
			fresh := w.ask(w.mine, "after-the-restore")
			fresh.pledge.CreatedOn = clock(w.at)
			lost.registrar.CreatedOn = w.at
			w.refused(lost.bytes(t), 403, masa.ReasonUnconfirmed)
			w.refused(fresh.bytes(t), 403, masa.ReasonUnconfirmed)
			w.confirm()
			w.voucher(fresh.bytes(t))
			if _, err := w.service.ConfirmRestore(t.Context(), &masa.RestoreConfirmation{}); !errors.Is(err, masa.ErrNotFound) {
				t.Errorf("ConfirmRestore a second time: %v, want ErrNotFound", err)
			}
		})
	}
}

// A sale that ended after the backup is not known: without a nonce nobody gets a
// voucher until an operator has put such things right.
func TestWithoutANonceNothingIsIssuedUntilTheRestoreIsConfirmed(t *testing.T) {
	w := newOnDisk(t, func(_ *masa.Settings, p *masa.Product) { p.AllowNonceless, p.AllowNoPriorSigned = true, true })
	key := sha256.Sum256(w.mine.root.Certificate.RawSubjectPublicKeyInfo)
	if _, err := w.service.AddOwner(t.Context(), &masa.OwnerClaim{
		DeviceRef: masa.DeviceRef{SerialNumber: serial}, DomainRef: masa.DomainRef{KeyHash: key[:]}, By: "test",
	}); err != nil {
		t.Fatal(err)
	}
	nonceless := func() []byte {
		a := w.ask(w.mine, "")
		a.idevid = nil
		return a.bytes(t)
	}
	var lost []byte
	w.restored(func() {
		lost = nonceless()
		w.voucher(lost)
	})
	w.at = w.at.Add(time.Minute)
	w.refused(nonceless(), 403, masa.ReasonUnconfirmed)
	w.refused(lost, 403, masa.ReasonAskedBefore)
	w.confirm()
	w.refused(lost, 403, masa.ReasonAskedBefore)
	w.voucher(nonceless())
}

// An intent in the backup may have become a voucher after it.
func TestAnIntentOfTheBackupIsNotTakenUpAgain(t *testing.T) {
	w := newOnDisk(t, nil)
	w.service.Close()
	w.store = &crash{Store: w.db, left: 2}
	w.start()
	a := w.ask(w.mine, "0123456789abcdef")
	a.pledge.CreatedOn = time.Time{}
	if _, err := w.service.RequestVoucher(t.Context(), w.request(a.bytes(t))); err == nil {
		t.Fatal("a voucher left a process that has ended")
	}
	w.restored(func() {})
	w.confirm()
	w.at = w.at.Add(time.Minute)
	a.registrar.CreatedOn = w.at
	w.refused(a.bytes(t), 403, masa.ReasonAskedBefore)
}

// Of two restores each counts by itself, and a code that may have been redeemed
// in between gives nothing.
func TestEveryRestoreCountsAndClaimCodesOfBeforeDoNot(t *testing.T) {
	w := newOnDisk(t, nil)
	codes, err := w.service.CreateClaims(t.Context(), &masa.ClaimRequest{Devices: []masa.DeviceRef{{SerialNumber: serial}}, By: "test"})
	if err != nil {
		t.Fatal(err)
	}
	var lost *ask
	w.restored(func() {
		lost = w.ask(w.mine, "after-the-backup")
		w.voucher(lost.bytes(t))
	})
	w.confirm()
	w.at = w.at.Add(time.Hour)
	w.restored(func() {})
	w.confirm()
	lost.registrar.CreatedOn = w.at
	w.refused(lost.bytes(t), 403, masa.ReasonAskedBefore)
	key := sha256.Sum256(w.mine.root.Certificate.RawSubjectPublicKeyInfo)
	redeem := func(code string) error {
		_, err := w.service.RedeemClaim(t.Context(), &masa.Redemption{Code: code, DomainRef: masa.DomainRef{KeyHash: key[:]}, By: "test"})
		return err
	}
	if err := redeem(codes[0].Code); !errors.Is(err, masa.ErrInvalid) {
		t.Errorf("RedeemClaim with a code of before the restore: %v, want ErrInvalid", err)
	}
	w.at = w.at.Add(time.Second)
	if codes, err = w.service.CreateClaims(t.Context(), &masa.ClaimRequest{Devices: []masa.DeviceRef{{SerialNumber: serial}}, By: "test"}); err != nil {
		t.Fatal(err)
	}
	if err := redeem(codes[0].Code); err != nil {
		t.Errorf("RedeemClaim with a new code: %v", err)
	}
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/masa"
	masastore "github.com/briskest/briskest/masa/store"
	"github.com/briskest/briskest/registrar"
)

// restoredSuffix is what a file beside a restored database ends with, until the
// first that opens the database has put the restore on the trail.
const restoredSuffix = ".restored"

// kindRestored is the trail's line about a restore: what is before it was the
// backup, and what happened between that and this line is not known.
const kindRestored = masa.KindRestored

// restoredNote is what that file says, and the body of the entry.
type restoredNote struct {
	Head       int64     `json:"head"` // of the backup
	Size       int64     `json:"entries"`
	Root       string    `json:"root"`
	MadeAt     time.Time `json:"made_at"`
	RestoredAt time.Time `json:"restored_at"`
	By         string    `json:"by"`
	Codes      int       `json:"codes_revoked,omitempty"`
	Tokens     int       `json:"tokens_revoked,omitempty"`
}

// readRestored returns nil when the database is as it was left.
func readRestored(store string) (*restoredNote, error) {
	data, err := os.ReadFile(store + restoredSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // there is none
	}
	if err != nil {
		return nil, err
	}
	n := &restoredNote{}
	if err := json.Unmarshal(data, n); err != nil {
		return nil, fmt.Errorf("%s: %w", store+restoredSuffix, err)
	}
	return n, nil
}

func (n *restoredNote) entry(domain string) (*trail.Entry, error) {
	body, err := json.Marshal(n)
	if err != nil {
		return nil, err
	}
	return &trail.Entry{At: time.Now().UTC(), Domain: domain, Kind: kindRestored, Actor: actor(), Body: body}, nil
}

func forgetRestored(store string) error { return os.Remove(store + restoredSuffix) }

// noteRestored puts a restore on the trail of each of the registrar's domains, and
// revokes what may have been spent or revoked since the backup and would be good
// again: one-time codes, and tokens for the API. It is done again after a crash.
func noteRestored(ctx context.Context, store registrar.Store, file string, domains []string) error {
	n, err := readRestored(file)
	if err != nil || n == nil {
		return err
	}
	for _, domain := range domains {
		of := *n
		if of.Codes, err = revokeCodes(ctx, store, domain); err != nil {
			return err
		}
		if of.Tokens, err = revokeTokens(ctx, store, domain); err != nil {
			return err
		}
		entry, err := of.entry(domain)
		if err != nil {
			return err
		}
		if err := store.Commit(ctx, &registrar.Change{Trail: []*trail.Entry{entry}}); err != nil {
			return err
		}
	}
	return forgetRestored(file)
}

// restoredPage is how many rows are read and written at once.
const restoredPage = 1000

func revokeCodes(ctx context.Context, store registrar.Store, domain string) (revoked int, err error) {
	for after := ""; ; {
		codes, err := store.ListCodes(ctx, domain, after, restoredPage)
		if err != nil {
			return revoked, err
		}
		change := &registrar.Change{}
		for _, code := range codes {
			if after = code.SerialNumber; !code.Revoked && !code.Spent() {
				code.Revoked = true
				change.PutCodes = append(change.PutCodes, code)
			}
		}
		if revoked += len(change.PutCodes); len(change.PutCodes) > 0 {
			if err := store.Commit(ctx, change); err != nil {
				return revoked, err
			}
		}
		if len(codes) < restoredPage {
			return revoked, nil
		}
	}
}

func revokeTokens(ctx context.Context, store registrar.Store, domain string) (revoked int, err error) {
	for after := ""; ; {
		tokens, err := store.ListAPITokens(ctx, domain, after, restoredPage)
		if err != nil {
			return revoked, err
		}
		change := &registrar.Change{}
		for _, token := range tokens {
			if after = token.ID; !token.Revoked {
				token.Revoked = true
				change.PutAPITokens = append(change.PutAPITokens, token)
			}
		}
		if revoked += len(change.PutAPITokens); len(change.PutAPITokens) > 0 {
			if err := store.Commit(ctx, change); err != nil {
				return revoked, err
			}
		}
		if len(tokens) < restoredPage {
			return revoked, nil
		}
	}
}

// noteRestoredMASA puts a restore on the MASA's record, which from then on issues
// nothing that was asked before (see masa.Restore). Its instant is that of the
// first start: a server that was there before may have gone on until then.
func noteRestoredMASA(ctx context.Context, store *masastore.Store, file, domain string) error {
	n, err := readRestored(file)
	if err != nil || n == nil {
		return err
	}
	entry, err := n.entry(domain)
	if err != nil {
		return err
	}
	restore := &masa.Restore{ID: masa.NewID(entry.At), Domain: domain, MadeAt: n.MadeAt, RestoredAt: entry.At, By: n.By}
	if err := store.Commit(ctx, &masa.Change{PutRestores: []*masa.Restore{restore}, Trail: []*trail.Entry{entry}}); err != nil {
		return err
	}
	return forgetRestored(file)
}

// copyFile copies a file into one that is not there, and its folders.
func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

// putFile writes a file that only this user reads, and its folders.
func putFile(to string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	return pemfile.Write(to, data, 0o600)
}

package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/keystore"
	"github.com/briskest/briskest/internal/pemfile"
)

type caStatusCmd struct {
	Dir    string `xor:"what" required:"" help:"The CA's folder."`
	Config string `xor:"what" required:"" type:"existingfile" help:"registrar.yaml: its CA, its own certificates and its keys, those of the running server too."`
	output
}

// caStatusRow is one certificate or key.
type caStatusRow struct {
	Role     string     `json:"role"`
	Subject  string     `json:"subject,omitempty"`
	NotAfter *time.Time `json:"not_after,omitempty"`
	State    string     `json:"state"`
	Key      string     `json:"key,omitempty"`
	Do       string     `json:"do,omitempty"`
}

// Run prints how certificates and keys stand; exit code 1 says that one has
// ended or does not sign, or that a CA elsewhere does not answer.
func (c *caStatusCmd) Run(ctx context.Context, s streams) error {
	var rows []caStatusRow
	var err error
	if c.Dir != "" {
		var f *caFolder
		if f, err = openCAFolder(c.Dir); err == nil {
			rows, err = f.status(ctx)
		}
	} else {
		rows, err = registrarStatus(ctx, c.Config)
	}
	if err != nil {
		return err
	}
	if err := cli.PrintList(s.Out, c.Format, rows); err != nil {
		return err
	}
	var bad []string
	for _, r := range rows {
		if r.State == stateEnded || r.State == stateEarly || strings.HasPrefix(r.State, keyBroken) || strings.HasPrefix(r.State, stateChanged) || strings.HasPrefix(r.State, askedBroken) {
			bad = append(bad, r.Role+": "+r.State)
		}
	}
	if len(bad) > 0 {
		return cli.Hint(fmt.Errorf("%s", strings.Join(bad, "; ")), "the column do says what helps")
	}
	return nil
}

// The states of a key.
const (
	keySigns  = "signs"
	keyBroken = "does not sign"
)

// keyRow tries a key: it signs, and the public key verifies.
func keyRow(ctx context.Context, role, uri, shown string) caStatusRow {
	row := caStatusRow{Role: role, Key: shown, State: keySigns}
	key, err := keystore.Open(ctx, uri)
	if err == nil {
		err = trySigning(key)
	}
	if err != nil {
		row.State = keyBroken + ": " + err.Error()
		row.Do = "look after the file or the token"
	}
	return row
}

// trySigning has a key sign a certificate request, which is good for nothing,
// and verifies it.
func trySigning(key crypto.Signer) error {
	csr, err := newCSR(&x509.CertificateRequest{}, key)
	if err != nil {
		return err
	}
	return csr.CheckSignature()
}

func statusRow(w watched, now time.Time) caStatusRow {
	row := caStatusRow{Role: w.role, Subject: w.cert.Subject.String(), NotAfter: &w.cert.NotAfter, State: stateOf(w.cert, now)}
	sum := sha256.Sum256(w.cert.RawSubjectPublicKeyInfo)
	row.Key = "sha256:" + hex.EncodeToString(sum[:8])
	if row.State != stateGood {
		row.Do = w.do
	}
	return row
}

// The roles of a chain's certificates.
const (
	roleIssuing = "issuing CA"
	roleRoot    = "root"
	roleAbove   = "CA above it"
)

// watchChain names the parts of a CA's chain.
func watchChain(chain []*x509.Certificate) []watched {
	var out []watched
	for i, c := range chain {
		role := roleIssuing
		switch {
		case bytes.Equal(c.RawIssuer, c.RawSubject):
			role = roleRoot
		case i > 0:
			role = roleAbove
		}
		out = append(out, watched{role, c, renewCA})
	}
	return out
}

// status lists the folder's certificates and tries its keys. The root's may be away.
func (f *caFolder) status(ctx context.Context) ([]caStatusRow, error) {
	var rows []caStatusRow
	if f.Certificate != "" {
		chain, err := f.chain()
		if err != nil {
			return nil, err
		}
		for _, w := range watchChain(chain) {
			rows = append(rows, statusRow(w, f.now()))
		}
	} else {
		rows = append(rows, caStatusRow{Role: roleIssuing, State: "no certificate yet", Do: "briskest ca install"})
	}
	old := f.Previous
	for _, p := range old {
		certs, err := pemfile.Certificates(f.source.path(p.Certificate))
		if err != nil {
			return nil, err
		}
		for _, c := range certs {
			rows = append(rows, endedIsFine(statusRow(watched{"before: CA", c, endOfOld}, f.now())))
		}
		rows = append(rows, keyRow(ctx, "before: key", f.source.uri(p.Key), p.Key))
	}
	if f.Links != "" {
		links, err := pemfile.Certificates(f.source.path(f.Links))
		if err != nil {
			return nil, err
		}
		for _, c := range links {
			rows = append(rows, endedIsFine(statusRow(watched{"link", c, endOfOld}, f.now())))
		}
	}
	rows = append(rows, keyRow(ctx, "issuing key", f.source.uri(f.Key), f.Key))
	if f.RootKey != "" && f.RootKey != f.Key {
		row := keyRow(ctx, "root key", f.source.uri(f.RootKey), f.RootKey)
		if strings.HasPrefix(row.State, keyBroken) {
			row.State, row.Do = "not here", "nothing, if it is kept offline; renew and rollover need it"
		}
		rows = append(rows, row)
	}
	if row, ok := f.recordRow(); ok {
		rows = append(rows, row)
	}
	return rows, nil
}

// stateChanged is that of a record that is not as it was written.
const stateChanged = "was changed"

// recordRow reads the record of the folder; false: there is none, as where the
// certificate came with the configuration.
func (f *caFolder) recordRow() (caStatusRow, bool) {
	row := caStatusRow{Role: "record", State: stateGood, Key: caRecordFile}
	file, err := os.Open(f.path(caRecordFile))
	if errors.Is(err, fs.ErrNotExist) {
		return row, false
	}
	var r *readLines
	if err == nil {
		defer func() { _ = file.Close() }()
		r, err = readRecord(file)
	}
	if err == nil {
		err = f.checkHead(r)
	}
	if err != nil {
		row.State, row.Do = stateChanged+": "+err.Error(), "put it and "+caHeadFile+" of the last backup back, and find out who wrote into them"
	}
	return row, true
}

// endedIsFine says of what was replaced that its end is no trouble.
func endedIsFine(row caStatusRow) caStatusRow {
	if row.State == stateEnded {
		row.State = "ended, as it may"
	}
	return row
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/internal/keystore"
	"github.com/briskest/briskest/registrar"
)

// watchRegistrar lists the certificates of a registrar that somebody has to renew.
func watchRegistrar(ctx context.Context, s *registrar.Settings) []watched {
	var out []watched
	for _, c := range s.TLSCertificates {
		out = append(out, watched{"registrar", c, renewRegistrar})
	}
	for _, name := range slices.Sorted(maps.Keys(s.Issuers)) {
		chain, err := s.Issuers[name].Chain(ctx)
		if err != nil { // an issuer that is down is told of elsewhere
			continue
		}
		for _, w := range watchChain(chain) {
			if name != registrar.DefaultIssuer {
				w.role += " of " + name
			}
			out = append(out, w)
		}
	}
	return out
}

// keysPath is where a server's operators' socket tells how its tokens are doing.
const keysPath = "/v1/keys"

// withKeys tells of the tokens beside the operators' calls.
func withKeys(operators http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", operators)
	mux.HandleFunc("POST "+keysPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(keystore.Tokens()) // an error means that the client is gone
	})
	return mux
}

// registrarStatus loads a registrar's configuration, lists its certificates,
// tries its keys, and asks the running server how its tokens are doing.
func registrarStatus(ctx context.Context, file string) ([]caStatusRow, error) {
	cfg, err := loadRegistrarConfig(file)
	if err != nil {
		return nil, err
	}
	settings, _, err := cfg.build(ctx)
	if err != nil {
		return nil, err
	}
	defer cfg.fetcher.Close()
	var rows []caStatusRow
	for _, w := range watchRegistrar(ctx, settings) {
		rows = append(rows, statusRow(w, time.Now()))
	}
	rows = append(rows, askedRows(ctx, settings.Issuers)...)
	keys := cfg.keys()
	for _, role := range slices.Sorted(maps.Keys(keys)) {
		rows = append(rows, keyRow(ctx, role, cfg.uri(keys[role]), keys[role]))
	}
	for i := range cfg.Issuers {
		local := cfg.Issuers[i].Local
		if local == nil || local.Folder == "" {
			continue
		}
		f, err := openCAFolder(cfg.path(local.Folder))
		if err != nil {
			return nil, err
		}
		more, err := f.status(ctx)
		if err != nil {
			return nil, err
		}
		rows = append(rows, ofIssuer(cfg.Issuers[i].Name, more)...)
	}
	if socket := cfg.path(cfg.Listen.Admin); answers(ctx, socket) {
		tokens, err := askTokens(ctx, socket)
		if err != nil {
			return nil, err
		}
		for _, t := range tokens {
			rows = append(rows, tokenRow(t))
		}
	}
	return rows, nil
}

// The states of a CA that is asked.
const (
	askedWell   = "answers"
	askedBroken = "is not well"
)

// askingTimeout bounds how long ca status waits for one CA.
const askingTimeout = 10 * time.Second

// askedRows asks the CAs that are elsewhere, all at once, how they are.
func askedRows(ctx context.Context, issuers map[string]ca.Issuer) []caStatusRow {
	ctx, cancel := context.WithTimeout(ctx, askingTimeout)
	defer cancel()
	var asked []checker
	var rows []caStatusRow
	for _, name := range slices.Sorted(maps.Keys(issuers)) {
		if c, ok := issuers[name].(checker); ok {
			asked = append(asked, c)
			rows = append(rows, caStatusRow{Role: "CA asked by issuer " + name, State: askedWell})
		}
	}
	var wg sync.WaitGroup
	for i, c := range asked {
		wg.Go(func() {
			if err := c.Check(ctx); err != nil {
				rows[i].State = askedBroken + ": " + err.Error()
				rows[i].Do = "look after that CA, or its issuer's settings; until then its devices get 503"
			}
		})
	}
	wg.Wait()
	return rows
}

// keys are the keys that the configuration names.
func (c *registrarConfig) keys() map[string]string {
	out := map[string]string{"registrar key": c.TLS.Key, "trail key": c.TrailKey}
	for i := range c.Issuers {
		if local := c.Issuers[i].Local; local != nil && local.Key != "" {
			out["issuing key of "+c.Issuers[i].Name] = local.Key
		}
	}
	return out
}

// ofIssuer leaves out the chain, which is there already, and names the issuer.
func ofIssuer(name string, rows []caStatusRow) []caStatusRow {
	var out []caStatusRow
	for _, r := range rows {
		switch r.Role {
		case roleIssuing, roleRoot, roleAbove:
			continue
		}
		if name != registrar.DefaultIssuer {
			r.Role += " of " + name
		}
		out = append(out, r)
	}
	return out
}

func tokenRow(t keystore.TokenHealth) caStatusRow {
	row := caStatusRow{Role: "token of the running server", Key: t.Token, State: fmt.Sprintf("usable; %d of %d sessions idle, %d busy", t.Sessions, t.Limit, t.Busy)}
	switch {
	case !t.Usable:
		row.State = keyBroken + ": " + t.Last
		row.Do = "look after the token; the server tries again by itself"
	case t.Hung > 0:
		row.State += fmt.Sprintf(", %d calls hang", t.Hung)
		row.Do = "restart the token's daemon, then the server"
	case t.Failures > 0:
		row.State += fmt.Sprintf(", %d failures in a row: %s", t.Failures, t.Last)
	}
	return row
}

// askTokens asks a running server.
func askTokens(ctx context.Context, socket string) ([]keystore.TokenHealth, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://server"+keysPath, nil)
	if err != nil {
		return nil, err
	}
	res, err := socketClient(socket).Do(r)
	if err != nil {
		return nil, fmt.Errorf("the admin socket: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK { // an older server
		return nil, nil
	}
	var out []keystore.TokenHealth
	return out, json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&out)
}

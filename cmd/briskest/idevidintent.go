package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/internal/trail"
	masaadmin "github.com/briskest/briskest/masa/admin"
	"github.com/briskest/briskest/registrar"
)

// intent is a certificate that is about to be signed, as the trail keeps it. It
// is on the trail before the signer is asked.
type intent struct {
	Serial  string `json:"serial"` // lower-case hex, as the two below
	Profile string `json:"profile"`
	TBS     string `json:"tbs_sha256"`
	Key     string `json:"key_sha256"`
}

func intentOf(in *ca.Intent) intent {
	return intent{hex.EncodeToString(in.Serial), in.Profile, hex.EncodeToString(in.TBSHash[:]), hex.EncodeToString(in.KeyHash[:])}
}

// entry is the intent's line on the trail.
func (i intent) entry() (*trail.Entry, error) {
	body, err := json.Marshal(i)
	if err != nil {
		return nil, err
	}
	return &trail.Entry{At: time.Now().UTC(), Domain: registrar.DefaultDomain, Kind: "ca-certificate-intended", Actor: actor(), Body: body}, nil
}

// check refuses what is no intent.
func (i intent) check() error {
	serial, err := hex.DecodeString(i.Serial)
	if err != nil || len(serial) == 0 || len(serial) > 20 || len(i.Profile) > 100 {
		return errors.New("not the serial number and profile of a certificate")
	}
	for _, digest := range []string{i.TBS, i.Key} {
		if sum, err := hex.DecodeString(digest); err != nil || len(sum) != sha256.Size {
			return errors.New("not two SHA-256 digests in hex")
		}
	}
	return nil
}

// intentPath is where the MASA's operators' socket takes intents: the vendor's
// CA for IDevIDs is beside the MASA, and its records are the MASA's.
const intentPath = "/v1/idevids/intend"

// withIntents takes intents beside the operators' calls.
func withIntents(operators http.Handler, record func(context.Context, *trail.Entry) error) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", operators)
	mux.HandleFunc("POST "+intentPath, func(w http.ResponseWriter, r *http.Request) {
		var in intent
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4096)).Decode(&in)
		if err == nil {
			err = in.check()
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		entry, err := in.entry()
		if err == nil {
			err = record(r.Context(), entry)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	return mux
}

// issuing calls do with the running MASA, or with one opened for the purpose,
// and with what puts certificates that are about to be signed on its trail.
func (d *masaData) issuing(ctx context.Context, s streams, do func(c *masaConfig, op masaadmin.Operator, rec record) error) error {
	cfg, err := loadMASAConfig(d.Config)
	if err != nil {
		return err
	}
	socket := cfg.path(cfg.Listen.Admin)
	if answers(ctx, socket) {
		dial := func(ctx context.Context) (net.Conn, error) { return dialUnix(ctx, socket) }
		intents := newIntentClient(dial)
		defer intents.CloseIdleConnections()
		return masaFailure(do(cfg, masaadmin.NewClient(dial), intents.record))
	}
	cfg.Log.Level = "error"
	role, err := openMASA(ctx, cfg, s.Err)
	if err != nil {
		return err
	}
	rec := func(ctx context.Context, in *ca.Intent) error {
		entry, err := intentOf(in).entry()
		if err != nil {
			return err
		}
		return role.record(ctx, entry)
	}
	return errors.Join(masaFailure(do(cfg, role.service, rec)), role.close())
}

// intentClient puts intents on the trail of a MASA that runs.
type intentClient struct{ *http.Client }

func newIntentClient(dial func(ctx context.Context) (net.Conn, error)) intentClient {
	return intentClient{&http.Client{Transport: &http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		MaxIdleConnsPerHost: atOnce,
	}}}
}

func (c intentClient) record(ctx context.Context, in *ca.Intent) error {
	body, err := json.Marshal(intentOf(in))
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://masa"+intentPath, bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := c.Do(r)
	if err != nil {
		return fmt.Errorf("the MASA's admin socket: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 4096))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("the MASA does not record the intent: %s", strings.TrimSpace(string(text)))
	}
	return err
}

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/masa"
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

// recordIDevID puts an IDevID that is about to be signed on the MASA's trail:
// through its socket when it runs, else by opening its store.
func (c *masaConfig) recordIDevID(ctx context.Context, in *ca.Intent) error {
	socket := c.path(c.Listen.Admin)
	if answers(ctx, socket) {
		return postIntent(ctx, socket, intentOf(in))
	}
	entry, err := intentOf(in).entry()
	if err != nil {
		return err
	}
	store, err := c.openStore(ctx, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	err = store.Commit(ctx, &masa.Change{Trail: []*trail.Entry{entry}})
	return errors.Join(err, store.Close())
}

func postIntent(ctx context.Context, socket string, in intent) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dialUnix(ctx, socket) }}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://masa"+intentPath, strings.NewReader(string(body)))
	if err != nil {
		return err
	}
	res, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return fmt.Errorf("the MASA's admin socket: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(res.Body, 4096))
		return errors.Join(fmt.Errorf("the MASA does not record the intent: %s", strings.TrimSpace(string(text))), err)
	}
	return nil
}

package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/config"
	"github.com/briskest/briskest/internal/httpserver"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
)

// source is the file that a configuration was read from, and what is to be
// known later of what it said.
type source struct {
	file    string
	digests map[string]string // SHA-256 by path as written: the file and the profiles it names
	version string            // set by stamp
	// warnings are what an operator is to know of what was loaded, and what is no reason not to run.
	warnings []error
	// log is where what was loaded may say what an operator has to know while
	// it runs; nil: nowhere.
	log *slog.Logger
}

// path resolves a path of the file.
func (s *source) path(p string) string { return config.Relative(s.file, p) }

// uri resolves a keystore URI of the file.
func (s *source) uri(u string) string { return config.RelativeURI(s.file, u) }

// read reads a file that the configuration names, and notes what it held.
func (s *source) read(name string) ([]byte, error) {
	data, err := config.Read(s.path(name))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	s.digests[name] = hex.EncodeToString(sum[:])
	return data, nil
}

// load decodes the file into c, whose check it then asks.
func (s *source) load(file, prefix string, c interface{ check() error }) error {
	*s = source{file: file, digests: make(map[string]string)}
	data, err := s.read(filepath.Base(file))
	if err == nil {
		err = config.Parse(file, data, prefix, c)
	}
	if err != nil {
		return &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	return s.wrong(c.check())
}

// wrong says that the configuration is at fault; nil stays nil.
func (s *source) wrong(err error) error {
	if err == nil {
		return nil
	}
	return &cli.Error{Code: cli.ExitUsage, Err: fmt.Errorf("%s: %w", s.file, err)}
}

// stamp names what was loaded: the time, and a digest of what was read. Every
// decision on the trail carries it.
func (s *source) stamp(at time.Time) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(s.digests)) {
		fmt.Fprintf(h, "%q %s\n", name, s.digests[name])
	}
	s.version = at.UTC().Format("20060102T150405.000000Z") + "-" + hex.EncodeToString(h.Sum(nil)[:4])
	return s.version
}

// notice is the trail's line about a stamped configuration.
func (s *source) notice(kind string) *trail.Entry {
	body, err := json.Marshal(struct {
		Settings string            `json:"settings"`
		SHA256   map[string]string `json:"sha256"`
	}{s.version, s.digests})
	if err != nil { // strings only
		panic("briskest: internal error: " + err.Error())
	}
	return &trail.Entry{At: time.Now().UTC(), Domain: registrar.DefaultDomain, Kind: kind, Actor: actor(), Body: body}
}

// The kinds of trail entries about configurations.
const (
	kindConfigurationLoaded  = "configuration-loaded"  // decisions may name it from here on
	kindConfigurationRefused = "configuration-refused" // the service did not take it; the old one stays
)

// requireKeys refuses a configuration without one of the given keys.
func requireKeys(values map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if values[key] == "" {
			return fmt.Errorf("the key %s is missing", key)
		}
	}
	return nil
}

// identityConfig is a certificate chain, leaf first, and its key.
type identityConfig struct {
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"` // keystore URI
	// OCSPResponse is a file with the DER of an OCSP response for the
	// certificate, shown in each handshake (RFC 6066, Section 8). Replace it
	// and reload before it expires.
	OCSPResponse string `yaml:"ocsp_response"`
}

// identity opens a key and reads its certificate chain.
func (s *source) identity(ctx context.Context, c identityConfig) (*tls.Certificate, error) {
	return pemfile.Identity(ctx, s.path(c.Certificate), s.uri(c.Key))
}

// maxOCSPResponse bounds the file of an OCSP response, in bytes.
const maxOCSPResponse = 64 << 10

// servers opens the identities that a server shows its clients: the first, and
// those for further server names.
func (s *source) servers(ctx context.Context, first identityConfig, more []identityConfig) ([]*tls.Certificate, error) {
	var servers []*tls.Certificate
	for _, c := range append([]identityConfig{first}, more...) {
		id, err := s.identity(ctx, c)
		if err != nil {
			return nil, err
		}
		if err := httpserver.CheckCertificate(id.Leaf); err != nil {
			return nil, fmt.Errorf("%s: %w", c.Certificate, err)
		}
		if c.OCSPResponse != "" {
			if id.OCSPStaple, err = readBounded(strings.NewReader(""), s.path(c.OCSPResponse), maxOCSPResponse); err != nil {
				return nil, err
			}
		}
		servers = append(servers, id)
	}
	return servers, nil
}

// configuration is a loaded file that can be turned into a service's settings.
type configuration[S any] interface {
	build(ctx context.Context) (S, []*tls.Certificate, error)
	notice(kind string) *trail.Entry
}

// reloader loads a configuration again for a service that runs.
type reloader[S any] struct {
	service *service
	load    func() (configuration[S], error)
	record  func(context.Context, *trail.Entry) error
	apply   func(S) error
}

// reload loads the configuration whole or not at all: what is wrong with it
// leaves everything as it was. The trail knows the version before anything is
// decided under it. Addresses and the store stay as they are.
func (r *reloader[S]) reload(ctx context.Context) error {
	c, err := r.load()
	if err != nil {
		return err
	}
	settings, identities, err := c.build(ctx)
	if err != nil {
		return err
	}
	if err := r.record(ctx, c.notice(kindConfigurationLoaded)); err != nil {
		return err
	}
	if err := r.apply(settings); err != nil {
		return errors.Join(err, r.record(ctx, c.notice(kindConfigurationRefused)))
	}
	r.service.certificates.Store(&identities)
	return nil
}

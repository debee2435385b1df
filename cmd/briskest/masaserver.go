package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/internal/keystore"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/masa"
	masaadmin "github.com/briskest/briskest/masa/admin"
	masastore "github.com/briskest/briskest/masa/store"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// voucherFormats are the encodings both roles speak, the preferred one first.
func voucherFormats() []voucher.Format { return []voucher.Format{vouchercms.Format{}} }

// masaRole is a MASA put together, without listeners.
type masaRole struct {
	config  *masaConfig
	log     *slog.Logger
	store   *masastore.Store
	service *masa.Service
}

// openMASA opens the store and builds the service a configuration describes.
func openMASA(ctx context.Context, c *masaConfig, logTo io.Writer) (*masaRole, error) {
	log, err := newLog(c.Log, logTo)
	if err != nil {
		return nil, err
	}
	settings, err := c.settings(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.file, err)
	}
	trailKey, err := keystore.Open(ctx, c.uri(c.TrailKey))
	if err != nil {
		return nil, err
	}
	store, err := masastore.Open(ctx, masastore.Options{Path: c.path(c.Store), TrailKey: trailKey, Log: log})
	if err != nil {
		return nil, err
	}
	service, err := masa.New(ctx, masa.Config{Store: store, Settings: settings, Log: log})
	if err != nil {
		discard(store.Close)
		return nil, err
	}
	return &masaRole{config: c, log: log, store: store, service: service}, nil
}

// close ends the service, then its store.
func (r *masaRole) close() error {
	r.service.Close()
	return r.store.Close()
}

// startMASA opens a MASA and its listeners.
func startMASA(ctx context.Context, c *masaConfig, logTo io.Writer) (*service, *masaRole, error) {
	role, err := openMASA(ctx, c, logTo)
	if err != nil {
		return nil, nil, err
	}
	s := &service{
		name: "masa", log: role.log, close: role.close,
		routes: map[string]http.Handler{"/.well-known/brski": &brski.MASAHandler{
			MASA: role.service, Formats: voucherFormats(), Log: role.log,
		}},
		operators: masaadmin.Handler(role.service, role.log),
	}
	s.reload = func(ctx context.Context) error { return role.reload(ctx, s) }
	id, err := pemfile.Identity(ctx, c.path(c.TLS.Certificate), c.uri(c.TLS.Key))
	if err == nil {
		s.certificate.Store(id)
		s.devices, err = net.Listen("tcp", c.Listen.Registrars)
	}
	if err == nil {
		s.admin, err = listenUnix(ctx, c.path(c.Listen.Admin))
	}
	if err != nil {
		discard(role.close)
		return nil, nil, err
	}
	return s, role, nil
}

// reload loads the configuration again, whole or not at all. Addresses and the
// store stay as they are.
func (r *masaRole) reload(ctx context.Context, s *service) error {
	c, err := loadMASAConfig(r.config.file)
	if err != nil {
		return err
	}
	settings, err := c.settings(ctx)
	if err != nil {
		return err
	}
	id, err := pemfile.Identity(ctx, c.path(c.TLS.Certificate), c.uri(c.TLS.Key))
	if err != nil {
		return err
	}
	if err := r.service.Reload(settings); err != nil {
		return err
	}
	s.certificate.Store(id)
	return nil
}

// settings turns the file's words into the service's.
func (c *masaConfig) settings(ctx context.Context) (*masa.Settings, error) {
	s := &masa.Settings{
		Version: settingsVersion(time.Now()), Domain: c.Domain,
		Products: make(map[string]masa.Product), Formats: voucherFormats(),
	}
	if c.RegistrarAnchors != "" {
		pool, err := pemfile.Pool(c.path(c.RegistrarAnchors))
		if err != nil {
			return nil, err
		}
		s.RegistrarAnchors = pool
	}
	for _, p := range c.Products {
		product, err := c.product(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("product %s: %w", p.Name, err)
		}
		if _, twice := s.Products[p.Name]; twice {
			return nil, fmt.Errorf("product %s is there twice", p.Name)
		}
		s.Products[p.Name] = product
	}
	return s, nil
}

func (c *masaConfig) product(ctx context.Context, p productConfig) (masa.Product, error) {
	anchors, err := pemfile.Pool(c.path(p.IDevIDAnchors))
	if err != nil {
		return masa.Product{}, err
	}
	signer, err := voucherSigner(ctx, c.path(p.Voucher.Certificate), c.uri(p.Voucher.Key))
	if err != nil {
		return masa.Product{}, err
	}
	return masa.Product{
		IDevIDAnchors: anchors, Signer: signer, Assertion: voucher.Assertion(p.Assertion),
		AllowNonceless: p.AllowNonceless, AllowUnlisted: p.AllowUnlisted, RequireOwner: p.RequireOwner,
		NoncelessLifetime: time.Duration(p.NoncelessLifetime),
	}, nil
}

// voucherSigner opens a key and its chain for signing artifacts.
func voucherSigner(ctx context.Context, certPath, keyURI string) (*voucher.Signer, error) {
	certs, err := pemfile.Certificates(certPath)
	if err != nil {
		return nil, err
	}
	id, err := pemfile.Identity(ctx, certPath, keyURI)
	if err != nil {
		return nil, err
	}
	key, err := pemfile.Signer(id)
	if err != nil {
		return nil, err
	}
	return &voucher.Signer{Key: key, Certificate: certs[0], Chain: certs[1:]}, nil
}

// settingsVersion names a loaded configuration on the trail.
func settingsVersion(at time.Time) string { return at.UTC().Format("20060102T150405.000Z") }

package admin_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/masa/admin"
	"github.com/briskest/briskest/masa/storetest"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

func newService(t testing.TB) *masa.Service {
	t.Helper()
	signer := testpki.NewRoot(t, "vouchers")
	s, err := masa.New(t.Context(), masa.Config{Store: storetest.NewMemory(), Settings: &masa.Settings{
		Formats: []voucher.Format{vouchercms.Format{}},
		Products: map[string]masa.Product{"widget": {
			IDevIDAnchors: testpki.NewRoot(t, "vendor").Pool(),
			Signer:        &voucher.Signer{Key: signer.Key, Certificate: signer.Certificate},
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// serve answers on a unix socket and returns how to reach it.
func serve(t *testing.T, op admin.Operator) func(context.Context) (net.Conn, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: admin.Handler(op, nil)}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close(); <-done })
	return func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "unix", path) }
}

// The socket and the service answer alike.
func TestOperatorWorksAlikeInProcessAndOverTheSocket(t *testing.T) {
	for name, open := range map[string]func(*testing.T) admin.Operator{
		"InProcess": func(t *testing.T) admin.Operator { return newService(t) },
		"Socket":    func(t *testing.T) admin.Operator { return admin.NewClient(serve(t, newService(t))) },
	} {
		t.Run(name, func(t *testing.T) { operate(t, open(t)) })
	}
}

func operate(t *testing.T, op admin.Operator) {
	ctx := t.Context()
	report, err := op.ImportDevices(ctx, &masa.Import{Product: "widget", Batch: "b", By: "test", Devices: []masa.ImportDevice{{SerialNumber: "a"}, {SerialNumber: "b"}}})
	if err != nil || !report.Applied || report.Added != 2 {
		t.Errorf("ImportDevices = %+v, %v; want 2 added", report, err)
	}
	report, err = op.ImportDevices(ctx, &masa.Import{Product: "widget", Devices: []masa.ImportDevice{{SerialNumber: "a"}, {SerialNumber: "a"}}})
	if err != nil || report.Applied || len(report.Problems) != 1 || report.Problems[0].Row != 2 {
		t.Errorf("ImportDevices of a bad list = %+v, %v; want a problem in row 2", report, err)
	}
	ref := masa.DeviceRef{SerialNumber: "a"}
	d, err := op.Block(ctx, &masa.BlockRequest{DeviceRef: ref, Reason: "stolen", By: "test"})
	if err != nil || d.State != masa.Blocked || d.Reason != "stolen" {
		t.Errorf("Block = %+v, %v", d, err)
	}
	o, err := op.AddOwner(ctx, &masa.OwnerClaim{DeviceRef: ref, DomainRef: masa.DomainRef{Name: "Example", Fingerprint: make([]byte, 32)}, By: "test"})
	if err != nil || o.Name != "Example" {
		t.Errorf("AddOwner = %+v, %v", o, err)
	}
	if d, err = op.Unblock(ctx, &masa.BlockRequest{DeviceRef: ref, By: "test"}); err != nil || d.State != masa.Known || !d.BlockedAt.IsZero() {
		t.Errorf("Unblock = %+v, %v", d, err)
	}
	operateOwners(t, op)
	c, err := op.Device(ctx, ref)
	if err != nil || c.Device.ID != d.ID || len(c.Owners) != 1 || len(c.Owners[0].Fingerprint) != 32 {
		t.Errorf("Device = %+v, %v", c, err)
	}
	list, err := op.ListDevices(ctx, masa.Page{Limit: 1})
	if err != nil || len(list) != 1 {
		t.Errorf("ListDevices = %v, %v; want one", list, err)
	}
	vouchers, err := op.ListVouchers(ctx, masa.Page{})
	if err != nil || len(vouchers) != 0 {
		t.Errorf("ListVouchers = %v, %v; want none", vouchers, err)
	}
	if restores, err := op.ConfirmRestore(ctx, &masa.RestoreConfirmation{By: "test"}); !errors.Is(err, masa.ErrNotFound) {
		t.Errorf("ConfirmRestore where there was none = %v, %v; want ErrNotFound", restores, err)
	}
	var refusal *est.Error
	if _, err := op.AnswerCarried(ctx, &masa.CarriedRequest{MediaType: "text/plain", Raw: []byte("x"), By: "test"}); !errors.As(err, &refusal) || refusal.Reason != masa.ReasonMediaType {
		t.Errorf("AnswerCarried(text): error %v, want the refusal %s", err, masa.ReasonMediaType)
	}
	if _, err := op.Device(ctx, masa.DeviceRef{SerialNumber: "x"}); !errors.Is(err, masa.ErrNotFound) {
		t.Errorf("Device(x): error %v, want ErrNotFound", err)
	}
	if _, err := op.ListDevices(ctx, masa.Page{Limit: -1}); !errors.Is(err, masa.ErrInvalid) || !strings.Contains(err.Error(), "limit") {
		t.Errorf("ListDevices(limit -1): error %v, want ErrInvalid that says why", err)
	}
}

func operateOwners(t *testing.T, op admin.Operator) {
	ctx, other := t.Context(), masa.DeviceRef{SerialNumber: "b"}
	domain := masa.DomainRef{KeyHash: make([]byte, 32), RegistrarURL: "https://registrar.example"}
	codes, err := op.CreateClaims(ctx, &masa.ClaimRequest{Devices: []masa.DeviceRef{other}, By: "test"})
	if err != nil || len(codes) != 1 {
		t.Fatalf("CreateClaims = %v, %v; want one", codes, err)
	}
	owners, err := op.RedeemClaim(ctx, &masa.Redemption{Code: codes[0].Code, DomainRef: domain, By: "test"})
	if err != nil || len(owners) != 1 || owners[0].RegistrarURL != domain.RegistrarURL {
		t.Errorf("RedeemClaim = %v, %v; want one owner", owners, err)
	}
	report, err := op.ImportOwners(ctx, &masa.OwnerImport{Owners: []masa.OwnerClaim{{DeviceRef: other, DomainRef: domain}}, By: "test"})
	if err != nil || report.Unchanged != 1 {
		t.Errorf("ImportOwners = %+v, %v; want 1 unchanged", report, err)
	}
	ended, err := op.EndOwner(ctx, &masa.OwnerEnd{DeviceRef: other, By: "test"})
	if err != nil || len(ended.Owners) != 1 || ended.Owners[0].Until.IsZero() || len(ended.Claims) != 1 {
		t.Errorf("EndOwner = %+v, %v; want one that has ended", ended, err)
	}
	if log, err := op.AuditLog(ctx, other); err != nil || len(log.Events) != 0 {
		t.Errorf("AuditLog = %+v, %v; want no event", log, err)
	}
}

func TestSocketRefusesWhatItDoesNotUnderstand(t *testing.T) {
	dial := serve(t, newService(t))
	client := admin.NewClient(dial).HTTP
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/v1/devices/list", `{"limit":1,"surprise":1}`, 400},
		{"POST", "/v1/devices/list", `{} {}`, 400},
		{"POST", "/v1/devices/list", ``, 400},
		{"GET", "/v1/devices/list", ``, 405},
		{"POST", "/v1/devices/forget", `{}`, 404},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, "http://masa"+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != c.status {
			t.Errorf("%s %s %q: status %d, want %d", c.method, c.path, c.body, res.StatusCode, c.status)
		}
	}
}

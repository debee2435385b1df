package estserver_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/estserver"
	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
)

// startGlobalSign runs globalsign's estserver 1.0.6 with its mock CA.
func startGlobalSign(t *testing.T) *estserver.Target {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "estserver")
	build := exec.Command("go", "build", "-o", program, "github.com/globalsign/est/cmd/estserver")
	build.Dir = filepath.Join("..", "interop", "globalsign")
	if out, err := build.CombinedOutput(); err != nil {
		if os.Getenv("BRISKEST_REQUIRE") != "" {
			t.Fatalf("build globalsign's estserver: %v\n%s", err, out)
		}
		t.Skipf("globalsign's estserver cannot be built here: %v\n%s", err, out)
	}
	root := testpki.NewRoot(t, "globalsign root")
	issuing := root.NewIntermediate(t, "globalsign CA")
	server, client := issuing.Server(t, "globalsign"), issuing.Client(t, "conformance")
	file := func(name string, blocks ...*pem.Block) string {
		var text []byte
		for _, b := range blocks {
			text = append(text, pem.EncodeToMemory(b)...)
		}
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	key := func(id *testpki.Identity) *pem.Block {
		der, err := x509.MarshalPKCS8PrivateKey(id.Key)
		if err != nil {
			t.Fatal(err)
		}
		return &pem.Block{Type: "PRIVATE KEY", Bytes: der}
	}
	cert := func(id *testpki.Identity) *pem.Block {
		return &pem.Block{Type: "CERTIFICATE", Bytes: id.Certificate.Raw}
	}
	address := freeAddress(t)
	config, err := json.Marshal(map[string]any{
		"mock_ca": map[string]any{"certificates": file("ca.pem", cert(issuing), cert(root)), "private_key": file("ca.key", key(issuing))},
		"tls": map[string]any{
			"listen_address": address, "certificates": file("tls.pem", cert(server), cert(issuing)), "private_key": file("tls.key", key(server)),
			"client_cas": []string{file("root.pem", cert(root))},
		},
		"allowed_hosts": []string{address, "127.0.0.1"}, "rate_limit": 10000, "timeout": 30,
	})
	if err != nil {
		t.Fatal(err)
	}
	configFile := filepath.Join(dir, "config.json")
	if err := os.WriteFile(configFile, config, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-config", configFile)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("estserver: %.2000s", said.String())
		}
	})
	own := client.TLS()
	return &estserver.Target{Site: wire.Site{URL: "https://" + address, Roots: root.Pool()}, Certificate: &own}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// What globalsign's server fails is known, and was confirmed by hand: the
// profile says how.
func TestGlobalSignsServerFailsWhatItsProfileSays(t *testing.T) {
	target := startGlobalSign(t)
	exclusions, err := conformance.LoadExclusions("globalsign")
	if err != nil {
		t.Fatal(err)
	}
	awaitServer(t, target)
	begun := time.Now()
	report := conformance.Run(t.Context(), target, estserver.Checks(), &conformance.Options{Target: target.URL, Exclusions: exclusions, Deadline: time.Minute})
	t.Logf("%v: %s", time.Since(begun).Round(time.Millisecond), report.Summary())
	for i := range report.Checks {
		r := &report.Checks[i]
		switch x := exclusions.Of(r.ID); {
		case r.Verdict == conformance.VerdictFail && x == nil:
			t.Errorf("%s (%s) fails and is not excluded: %s", r.ID, r.Level, r.Reason)
		case r.Verdict == conformance.VerdictFail && r.Level == conformance.Must && x.Confirmed == "":
			t.Errorf("%s fails, and the profile does not say how that was confirmed", r.ID)
		case strings.Contains(r.Reason, "the run was stopped"):
			t.Errorf("%s was not asked within a minute", r.ID)
		}
	}
	for _, id := range report.Stale {
		t.Errorf("%s passes: its exclusion is not needed", id)
	}
}

// awaitServer waits until the server listens.
func awaitServer(t *testing.T, target *estserver.Target) {
	t.Helper()
	for {
		err := target.Reachable(t.Context())
		if err == nil {
			return
		}
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
		select {
		case <-t.Context().Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// BRISKEST_EST_PEER is the URL of somebody's EST server, such as libest's
// estserver; BRISKEST_EST_PEER_CA a PEM file, and BRISKEST_EST_PEER_USER
// user:password. The run must complete; what the peer fails is logged.
func TestAnotherServerIsAskedToTheEnd(t *testing.T) {
	url := os.Getenv("BRISKEST_EST_PEER")
	if url == "" {
		t.Skip("BRISKEST_EST_PEER does not name an EST server, such as libest's: no peer is asked")
	}
	target := &estserver.Target{Site: wire.Site{URL: url}}
	if file := os.Getenv("BRISKEST_EST_PEER_CA"); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		target.Roots = x509.NewCertPool()
		target.Roots.AppendCertsFromPEM(text)
	}
	user, password, _ := strings.Cut(os.Getenv("BRISKEST_EST_PEER_USER"), ":")
	target.User, target.Password = user, est.Secret(password)
	if err := target.Check(); err != nil {
		t.Fatal(err)
	}
	report := conformance.Run(t.Context(), target, estserver.Checks(), &conformance.Options{Target: url})
	var b bytes.Buffer
	if err := report.Write(&b, "table"); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", b.String())
	for i := range report.Checks {
		if strings.Contains(report.Checks[i].Reason, "the run was stopped") {
			t.Errorf("%s was not asked", report.Checks[i].ID)
		}
	}
}

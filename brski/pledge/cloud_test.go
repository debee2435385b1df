package pledge_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/briskest/briskest/brski/brskitest"
	"github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/voucher"
)

// sky is a device with a cloud registrar, and nothing else to go to.
type sky struct {
	*device
	web   *testpki.Identity // the CA that is built in for cloud registrars
	cloud *brskitest.Cloud
}

const cloudName = "registrar.vendor.example"

func newSky(t *testing.T, change ...func(*tls.Config)) *sky {
	t.Helper()
	w := brskitest.New(t)
	s := &sky{web: testpki.NewRoot(t, "Web CA")}
	s.cloud = brskitest.NewCloud(t, w, named(t, s.web, "*.vendor.example"), cloudName, change...)
	s.device = newDevice(t, w, func(c *pledge.Config) {
		c.RegistrarURL, c.CloudURL, c.CloudAnchors, c.Dial = "", s.cloud.URL, s.web.Pool(), brskitest.Dial
	})
	return s
}

// named issues a server certificate.
func named(t testing.TB, ca *testpki.Identity, name string) *testpki.Identity {
	t.Helper()
	return ca.Issue(t, &x509.Certificate{
		DNSNames: []string{name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, testpki.NewKey(t))
}

// checkUntouched checks that no byte of HTTP came to the cloud registrar.
func checkUntouched(t *testing.T, c *brskitest.Cloud) {
	t.Helper()
	if paths := c.Paths(); len(paths) != 0 {
		t.Errorf("the server got requests for %v, want none", paths)
	}
}

// BRSKI-8995-2.7-02, BRSKI-CLOUD-3.1.2-01: built-in anchors, the right name,
// mutual TLS, and never provisional.
func TestCloudRegistrarThatIsNotAuthenticatedGetsNothing(t *testing.T) {
	for name, identity := range map[string]func(*testing.T, *sky) *testpki.Identity{
		"unknown CA":            func(t *testing.T, _ *sky) *testpki.Identity { return named(t, testpki.NewRoot(t, "Web CA"), cloudName) },
		"the manufacturer's CA": func(t *testing.T, s *sky) *testpki.Identity { return named(t, s.world.Vendor, cloudName) },
		"self-signed":           func(t *testing.T, _ *sky) *testpki.Identity { return testpki.NewRoot(t, cloudName) },
		"another name":          func(t *testing.T, s *sky) *testpki.Identity { return named(t, s.web, "registrar.other.example") },
		"a wildcard too high":   func(t *testing.T, s *sky) *testpki.Identity { return named(t, s.web, "*.example") },
		"a common name only": func(t *testing.T, s *sky) *testpki.Identity {
			return s.web.Client(t, cloudName)
		},
		"a client's": func(t *testing.T, s *sky) *testpki.Identity {
			return s.web.Issue(t, &x509.Certificate{
				DNSNames: []string{cloudName}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
			}, testpki.NewKey(t))
		},
		"expired": func(t *testing.T, s *sky) *testpki.Identity {
			return s.web.Issue(t, &x509.Certificate{
				DNSNames: []string{cloudName}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
				NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour),
			}, testpki.NewKey(t))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSky(t)
			var shown atomic.Bool // the device's certificate, which only a handshake that goes on shows
			cloud := brskitest.NewCloud(t, s.world, identity(t, s), cloudName, func(c *tls.Config) {
				c.MaxVersion = tls.VersionTLS12 // the server has ended the handshake when the client has
				c.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { shown.Store(true); return nil }
			})
			s.config.CloudURL = cloud.URL
			s.onboardFails(pledge.ReasonCloud, pledge.ErrUntrusted)
			checkUntouched(t, cloud)
			s.checkNothingTrusted()
			if shown.Load() {
				t.Errorf("the server got to know who the device is")
			}
		})
	}
	t.Run("no client certificate wanted", func(t *testing.T) {
		s := newSky(t, func(c *tls.Config) { c.ClientAuth = tls.NoClientCert })
		s.onboardFails(pledge.ReasonCloud, pledge.ErrUntrusted)
		checkUntouched(t, s.cloud)
	})
}

// BRSKI-CLOUD-3.3.1-01, BRSKI-CLOUD-3.3.1-04, BRSKI-CLOUD-2.2-01: the owner's
// registrar, which nothing vouches for but the voucher, gets a request of its
// own, and the cloud registrar nothing else.
func TestCloudRegistrarLeadsToTheOwnersRegistrar(t *testing.T) {
	s := newSky(t)
	owner := brskitest.Named(t, s.world.URL, "owner.example")
	s.cloud.Answer(s.cloud.Redirect(owner + requestVoucher))
	s.checkWhole(s.onboard())
	first, sent := s.cloud.Requests(), s.world.Registrar.Requests()
	if len(first) != 1 || len(sent) != 1 {
		t.Fatalf("%d voucher-requests to the cloud, %d to the owner; want one each", len(first), len(sent))
	}
	second, _ := openRequest(t, sent[0])
	if first[0].Nonce == second.Nonce {
		t.Errorf("the request to the owner has the nonce of the one to the cloud")
	}
	if string(second.ProximityRegistrarCert) != string(s.world.Identity.Certificate.Raw) {
		t.Errorf("the request to the owner names another certificate than the owner's registrar's")
	}
	if paths := s.cloud.Paths(); !slices.Equal(paths, []string{requestVoucher}) {
		t.Errorf("requests to the cloud: %v, want the voucher-request only", paths)
	}
	if got := s.status().Registrar; got != owner {
		t.Errorf("Status().Registrar = %q, want %q", got, owner)
	}
	if _, err := s.pledge().Renew(t.Context()); err != nil {
		t.Errorf("Renew at the owner's registrar: %v", err)
	}
}

// BRSKI-CLOUD-2.2-01: a cloud registrar whose voucher names no EST server does
// not become one, whatever it pins.
func TestCloudRegistrarIsNoESTServer(t *testing.T) {
	for _, pinsItself := range []bool{true, false} {
		s := newSky(t)
		id, pin := named(t, s.web, cloudName), s.web.Certificate
		if pinsItself {
			pin = id.Certificate
		}
		cloud := brskitest.NewCloud(t, s.world, id, cloudName)
		cloud.Answer(cloud.Voucher(pin, ""))
		s.config.CloudURL = cloud.URL
		s.onboardFails(pledge.ReasonESTDomain, pledge.ErrUntrusted)
		if paths := cloud.Paths(); !slices.Equal(paths, []string{requestVoucher, "/.well-known/brski/voucher_status"}) {
			t.Errorf("requests to the cloud: %v, want the voucher-request and the verdict", paths)
		}
		s.checkNothingTrusted()
	}
}

// BRSKI-CLOUD-3.1.2-02: server_name whenever the name is known.
func TestCloudRegistrarIsToldItsName(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		s := newSky(t, func(c *tls.Config) { c.MinVersion, c.MaxVersion = version, version })
		owner := brskitest.NewCloud(t, s.world, s.world.Identity, "owner.example")
		s.cloud.Answer(s.cloud.Redirect(owner.URL))
		s.onboardFails(pledge.ReasonRegistrarRefused, pledge.ErrRefused)
		if names := s.cloud.ServerNames(); !slices.Equal(names, []string{cloudName}) {
			t.Errorf("TLS %#x: server_name = %q, want %q", version, names, cloudName)
		}
		if names := owner.ServerNames(); !slices.Equal(names, []string{"owner.example"}) {
			t.Errorf("TLS %#x: server_name to the owner's registrar = %q, want its name", version, names)
		}
	}
}

// BRSKI-CLOUD-3.3.1-02: only an authenticated cloud registrar may redirect.
func TestRedirectByTheOwnersRegistrarIsRefused(t *testing.T) {
	s := newSky(t)
	third := s.world.AnotherDomain(t, "Third")
	redirect(s.world, http.StatusTemporaryRedirect, third.URL)
	s.cloud.Answer(s.cloud.Redirect(s.world.URL))
	s.onboardFails(pledge.ReasonRedirect, pledge.ErrUntrusted)
	if n := len(third.Registrar.Requests()); n != 0 {
		t.Errorf("the redirect was followed")
	}
	s.checkNothingTrusted()
}

// chain makes a chain of authenticated cloud registrars, n behind the first.
func (s *sky) chain(t *testing.T, n int) []*brskitest.Cloud {
	t.Helper()
	clouds := []*brskitest.Cloud{s.cloud}
	id := named(t, s.web, "*.reseller.example")
	for i := range n {
		next := brskitest.NewCloud(t, s.world, id, fmt.Sprintf("r%d.reseller.example", i))
		clouds[i].Answer(clouds[i].Redirect(next.URL))
		clouds = append(clouds, next)
	}
	return clouds
}

// BRSKI-CLOUD-3.3.1-03: dozens of redirects, up to a limit, and no place twice.
func TestCloudRedirectsAreFollowedUpToALimitAndNeverInCircles(t *testing.T) {
	t.Run("40", func(t *testing.T) {
		s := newSky(t)
		clouds := s.chain(t, 40)
		last := clouds[len(clouds)-1]
		last.Answer(last.Redirect(s.world.URL))
		s.checkWhole(s.onboard())
		nonces := make(map[string]bool)
		for _, c := range clouds {
			for _, r := range c.Requests() {
				nonces[r.Nonce] = true
			}
		}
		if len(nonces) != len(clouds) {
			t.Errorf("%d nonces at %d cloud registrars, want another one at each", len(nonces), len(clouds))
		}
	})
	t.Run("configured limit", func(t *testing.T) {
		s := newSky(t)
		s.config.MaxRedirects = 3
		clouds := s.chain(t, 5)
		s.onboardFails(pledge.ReasonRedirect, pledge.ErrUntrusted)
		for i, c := range clouds {
			if want := i <= 3; (len(c.Requests()) == 1) != want {
				t.Errorf("cloud registrar %d got %d requests", i, len(c.Requests()))
			}
		}
	})
	t.Run("circle", func(t *testing.T) {
		s := newSky(t)
		clouds := s.chain(t, 2)
		for _, spelling := range []string{
			s.cloud.URL, s.cloud.URL + "/", s.cloud.URL + requestVoucher, strings.Replace(s.cloud.URL, cloudName, strings.ToUpper(cloudName), 1),
		} {
			clouds[2].Answer(clouds[2].Redirect(spelling))
			before := len(s.cloud.Requests())
			s.memory = newMemory()
			s.config.State = s.memory
			s.onboardFails(pledge.ReasonRedirect, pledge.ErrUntrusted)
			for i, c := range clouds {
				if n := len(c.Requests()) - before; n != 1 {
					t.Errorf("back to %q: cloud registrar %d got %d requests, want 1", spelling, i, n)
				}
			}
		}
	})
	t.Run("limit of who set none", func(t *testing.T) {
		s := newSky(t)
		clouds := s.chain(t, 60)
		s.onboardFails(pledge.ReasonRedirect, pledge.ErrUntrusted)
		asked := 0
		for _, c := range clouds {
			asked += len(c.Requests())
		}
		if asked < 41 || asked > 50 {
			t.Errorf("%d cloud registrars were asked in one attempt, want some dozens", asked)
		}
	})
}

// estPaths records what an EST server is asked for.
type estPaths struct {
	mu    sync.Mutex
	paths []string // guarded by mu
}

func (p *estPaths) add(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paths = append(p.paths, path)
}

func (p *estPaths) all() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.paths)
}

// BRSKI-CLOUD-3.3.2-01; draft-ietf-anima-brski-cloud-20, Sections 3.3.2 and 4.2.
func TestCloudVoucherLeadsToAnESTServer(t *testing.T) {
	for name, pin := range map[string]func(*sky, *testpki.Identity) *x509.Certificate{
		"its certificate": func(_ *sky, id *testpki.Identity) *x509.Certificate { return id.Certificate },
		"its CA":          func(s *sky, _ *testpki.Identity) *x509.Certificate { return s.world.Domain.Certificate },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSky(t)
			id := named(t, s.world.Issuing, "est.owner.example")
			seen := new(estPaths)
			url := brskitest.ESTServer(t, s.world, id, "est.owner.example", seen.add)
			s.cloud.Answer(s.cloud.Voucher(pin(s, id), url))
			result := s.onboard()
			if result.Certificate == nil || result.Reported {
				t.Errorf("Result = %+v, want a certificate and nobody told", result)
			}
			want := []string{"/.well-known/est/cacerts", "/.well-known/est/csrattrs", "/.well-known/est/simpleenroll"}
			if paths := seen.all(); !slices.Equal(paths, want) {
				t.Errorf("requests to the EST server: %v, want %v", paths, want)
			}
			if paths := s.cloud.Paths(); !slices.Equal(paths, []string{requestVoucher, "/.well-known/brski/voucher_status"}) {
				t.Errorf("requests to the cloud: %v", paths)
			}
			if told := s.cloud.VoucherStatuses(); len(told) != 1 || !told[0].Status {
				t.Errorf("voucher_status to the cloud = %+v, want success", told)
			}
			s.onboard()
			if _, err := s.pledge().Renew(t.Context()); err != nil {
				t.Errorf("Renew at the EST server: %v", err)
			}
		})
	}
}

// BRSKI-CLOUD-4.2-01: an EST server that does not follow from the pin is left,
// and the cloud registrar told.
func TestESTServerThatIsNotPinnedGetsNothing(t *testing.T) {
	const name = "est.owner.example"
	for what, c := range map[string]struct {
		server func(*testing.T, *sky) *testpki.Identity
		pin    func(*sky) *x509.Certificate
	}{
		"another CA": {
			func(t *testing.T, _ *sky) *testpki.Identity { return named(t, testpki.NewRoot(t, "Other"), name) },
			func(s *sky) *x509.Certificate { return s.world.Domain.Certificate },
		},
		"another certificate": {
			func(t *testing.T, s *sky) *testpki.Identity { return named(t, s.world.Domain, name) },
			func(s *sky) *x509.Certificate { return s.world.Identity.Certificate },
		},
		"another name": {
			func(t *testing.T, s *sky) *testpki.Identity { return named(t, s.world.Domain, "printer.owner.example") },
			func(s *sky) *x509.Certificate { return s.world.Domain.Certificate },
		},
		"a client's": {
			func(t *testing.T, s *sky) *testpki.Identity { return s.world.Domain.Client(t, name) },
			func(s *sky) *x509.Certificate { return s.world.Domain.Certificate },
		},
		"the cloud's CA": {
			func(t *testing.T, s *sky) *testpki.Identity { return named(t, s.web, name) },
			func(s *sky) *x509.Certificate { return s.world.Domain.Certificate },
		},
	} {
		t.Run(what, func(t *testing.T) {
			s := newSky(t)
			seen := new(estPaths)
			url := brskitest.ESTServer(t, s.world, c.server(t, s), name, seen.add)
			s.cloud.Answer(s.cloud.Voucher(c.pin(s), url))
			s.onboardFails(pledge.ReasonNotPinned, pledge.ErrUntrusted)
			if paths := seen.all(); len(paths) != 0 {
				t.Errorf("the EST server got requests for %v, want none", paths)
			}
			if told := s.cloud.VoucherStatuses(); len(told) != 1 || told[0].Status || told[0].Reason != pledge.ReasonNotPinned {
				t.Errorf("voucher_status to the cloud = %+v, want failure with the reason", told)
			}
			s.checkNothingTrusted()
		})
	}
}

// est-domain counts from a cloud registrar only: the voucher is for the server
// that asked for it otherwise (RFC 8995, Section 5.6.2).
func TestESTDomainOfALocalRegistrarsVoucherIsNotFollowed(t *testing.T) {
	w := brskitest.New(t)
	w.MASA.Change(func(v *voucher.Voucher) { v.ESTDomain = "https://127.0.0.1:1/" })
	d := newDevice(t, w)
	d.checkWhole(d.onboard())
}

func TestESTDomainThatIsNoAddressIsRefused(t *testing.T) {
	for _, domain := range []string{"http://est.owner.example", "https://a:b@est.owner.example", "https://est.owner.example/arbitrary", "urn:est"} {
		s := newSky(t)
		s.cloud.Answer(s.cloud.Voucher(s.world.Domain.Certificate, domain))
		s.onboardFails(pledge.ReasonESTDomain, pledge.ErrUntrusted)
	}
}

// An EST server that is away is tried again with the voucher of the same request.
func TestESTServerThatIsAwayIsTriedAgain(t *testing.T) {
	s := newSky(t)
	s.cloud.Answer(s.cloud.Voucher(s.world.Domain.Certificate, "https://est.owner.example:1"))
	s.onboardFails(pledge.ReasonUnreachable, pledge.ErrUnavailable)
	url := brskitest.ESTServer(t, s.world, named(t, s.world.Issuing, "est.owner.example"), "est.owner.example", func(string) {})
	s.cloud.Answer(s.cloud.Voucher(s.world.Domain.Certificate, url))
	s.onboard()
	if r := s.cloud.Requests(); len(r) != 2 || r[0].Nonce != r[1].Nonce {
		t.Errorf("%d voucher-requests, want the same twice", len(r))
	}
}

// A power cut between the voucher and the enrollment: the EST server is known.
func TestImprintForAnESTServerIsResumedThere(t *testing.T) {
	s := newSky(t)
	stop := true
	id := named(t, s.world.Issuing, "est.owner.example")
	seen := new(estPaths)
	url := brskitest.ESTServer(t, s.world, id, "est.owner.example", seen.add)
	s.cloud.Answer(s.cloud.Voucher(s.world.Domain.Certificate, url))
	ctx, cancel := context.WithCancel(t.Context())
	s.config.Report = func(step pledge.Step) {
		if stop && step.Name == pledge.StepImprinted {
			cancel()
		}
	}
	if _, err := s.pledge().Onboard(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("Onboard = %v, want the end of its context", err)
	}
	stop = false
	s.onboard()
	if n := len(s.cloud.Requests()); n != 1 {
		t.Errorf("%d voucher-requests to the cloud, want 1", n)
	}
}

// draft-ietf-anima-brski-cloud-20, Sections 3.2 and 3.3.1.
func TestCloudRegistrarsRefusalsAreTold(t *testing.T) {
	header := func(value string) http.Header { return http.Header{"Retry-After": {value}} }
	for name, c := range map[string]struct {
		status int
		header http.Header
		reason string
		class  error
		after  time.Duration
	}{
		"unknown device":            {404, nil, pledge.ReasonRegistrarRefused, pledge.ErrRefused, 0},
		"malformed":                 {400, nil, pledge.ReasonRegistrarRefused, pledge.ErrRefused, 0},
		"overload":                  {503, header("30"), pledge.ReasonRegistrarFailed, pledge.ErrUnavailable, 30 * time.Second},
		"no owner, later":           {401, header("1800"), pledge.ReasonOwnerUnknown, pledge.ErrUnavailable, 30 * time.Minute},
		"no owner, much later":      {401, header("86400"), pledge.ReasonOwnerUnknown, pledge.ErrUnavailable, time.Hour},
		"no owner, and there is no": {401, nil, pledge.ReasonOwnerUnknown, pledge.ErrRefused, 0},
	} {
		s := newSky(t)
		s.cloud.Answer(s.cloud.Status(c.status, c.header))
		if e := s.onboardFails(c.reason, c.class); e.RetryAfter != c.after || e.Status != c.status {
			t.Errorf("%s: status %d, RetryAfter %v; want %d, %v", name, e.Status, e.RetryAfter, c.status, c.after)
		}
	}
}

// draft-ietf-anima-brski-cloud-20, Section 3.2: no Retry-After, no other attempt.
func TestCloudRegistrarThatSaysNeverIsNotAskedAgain(t *testing.T) {
	s := newSky(t)
	s.cloud.Answer(s.cloud.Status(http.StatusUnauthorized, nil))
	_, err := s.pledge().Join(t.Context())
	var e *pledge.Error
	if !errors.As(err, &e) || e.Reason != pledge.ReasonOwnerUnknown || len(s.cloud.Requests()) != 1 {
		t.Errorf("Join = %v after %d requests, want %q after 1", err, len(s.cloud.Requests()), pledge.ReasonOwnerUnknown)
	}
}

// draft-ietf-anima-brski-cloud-20, Section 3.3.1: an error begins all over again
// at the cloud registrar, and an owner may turn up.
func TestJoinAsksTheCloudRegistrarAgain(t *testing.T) {
	s := newSky(t)
	asked := 0
	s.cloud.Answer(func(rw http.ResponseWriter, r *voucher.Request) {
		switch asked++; asked {
		case 1:
			s.cloud.Status(401, http.Header{"Retry-After": {"60"}})(rw, r)
		case 2:
			s.cloud.Redirect("https://owner.example:1")(rw, r) // not there
		default:
			s.cloud.Redirect(s.world.URL)(rw, r)
		}
	})
	result, err := s.pledge().Join(t.Context())
	if err != nil {
		t.Fatalf("Join: %v", err)
	}
	s.checkWhole(result)
	if asked != 3 {
		t.Errorf("the cloud registrar was asked %d times, want 3", asked)
	}
}

// BRSKI-8995-2.7-01: the cloud registrar is for when no local one is found (RFC 8995, Section 2.7).
func TestLocalRegistrarsComeBeforeTheCloud(t *testing.T) {
	s := newSky(t)
	s.config.RegistrarURL = s.world.URL
	s.checkWhole(s.onboard())
	checkUntouched(t, s.cloud)

	s = newSky(t)
	s.config.RegistrarURL = "https://127.0.0.1:1"
	s.cloud.Answer(s.cloud.Redirect(s.world.URL))
	s.checkWhole(s.onboard())
}

// Somebody on the link that says "not yet" for days does not keep the device from its owner.
func TestUndecidedLocalRegistrarDoesNotKeepTheCloudAway(t *testing.T) {
	s := newSky(t)
	idle := s.world.AnotherDomain(t, "Idle")
	idle.Registrar.StayPending(1 << 30)
	s.config.RegistrarURL = idle.URL
	s.cloud.Answer(s.cloud.Redirect(s.world.URL))
	s.config.Wait = func(ctx context.Context, d time.Duration) error {
		if d < 5*time.Second && len(s.cloud.Requests()) > 0 { // a second 202
			<-ctx.Done()
		}
		return ctx.Err()
	}
	s.checkWhole(s.onboard())
}

func TestCloudRegistrarNeedsAnchors(t *testing.T) {
	s := newSky(t)
	s.config.CloudAnchors = nil
	if _, err := pledge.New(s.config); err == nil {
		t.Errorf("New took a cloud registrar without anchors for it")
	}
}

// The name counts, and not the address that it leads to.
func TestCloudRegistrarByAddressNeedsThatAddress(t *testing.T) {
	s := newSky(t)
	id := s.web.Issue(t, &x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, testpki.NewKey(t))
	cloud := brskitest.NewCloud(t, s.world, id, "127.0.0.1")
	cloud.Answer(cloud.Redirect(s.world.URL))
	s.config.CloudURL = cloud.URL
	s.checkWhole(s.onboard())
	s = newSky(t)
	s.config.CloudURL = brskitest.Named(t, s.cloud.URL, "127.0.0.1")
	s.onboardFails(pledge.ReasonCloud, pledge.ErrUntrusted)
}

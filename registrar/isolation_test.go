package registrar_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"testing"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/ca/localca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cmc"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/voucher"
)

// neighbours are two domains that share as much as can be shared: the store, the CA, the registrar's certificate, the
// manufacturer. What tells them apart is the domain alone.
type neighbours struct {
	north, south *house
	url          map[*house]string
}

func newNeighbours(t *testing.T) *neighbours {
	t.Helper()
	both := func(h *house) {
		h.settings.Manufacturers["acme"].AllowNonceless, h.settings.Manufacturers["acme"].AuditLog.Unavailable = true, registrar.AuditAllow
		h.settings.Labels[""].FullCMC, h.settings.Labels[""].SharedSecret = true, true
		h.settings.Labels["codes"] = &registrar.Label{Profile: h.profile("device"), Codes: true, Renewal: true}
		h.settings.Labels["slow"] = &registrar.Label{Profile: h.profile("device"), Basic: true, FullCMC: true, Approval: true}
	}
	north := newHouse(t, func(h *house) {
		h.settings.Domain = "north"
		both(h)
		h.settings.CMC = &registrar.CMC{Secrets: []registrar.CMCSecret{{Name: "factory", Secret: factorySecret, Group: true}}}
		h.settings.KeyEncryptionKeys = []*registrar.KeyEncryptionKey{{ID: []byte("kek-north"), Key: kek(), Users: []string{"north-line"}}}
	})
	south := &house{
		t: t, root: north.root, ca: north.ca, registrar: north.registrar, vendor: north.vendor, vouchers: north.vouchers, idevidCA: north.idevidCA,
		issuer: north.issuer, store: north.store, reads: &faultyStore{Store: north.store}, idevids: map[string]*testpki.Identity{},
	}
	south.masa = &fakeMASA{house: south, signer: north.masa.signer}
	south.clock.Store(north.clock.Load())
	set := *north.settings
	set.Domain, set.Labels = "south", maps.Clone(set.Labels)
	set.DialMASA = func(*registrar.Manufacturer, string) (brski.MASA, error) { return south.masa, nil }
	set.CMC = &registrar.CMC{Secrets: []registrar.CMCSecret{{Name: "sensor-7", Secret: sensorSecret}}}
	set.KeyEncryptionKeys = []*registrar.KeyEncryptionKey{{ID: []byte("kek-south"), Key: bytes.Repeat([]byte{8}, 32), Users: []string{"south-line", "north-line"}}}
	set.Labels["south-only"] = &registrar.Label{Profile: north.profile("device"), Basic: true, Renewal: true}
	south.settings = &set
	south.start()
	south.passwords = map[string]est.Secret{}
	south.passwords["south-line"] = south.credential("south-line", true, "")
	// A user of the same name in both, with passwords of their own.
	north.passwords["north-line"] = north.credential("north-line", true, "")
	return &neighbours{north, south, map[*house]string{north: north.serve(), south: south.serve()}}
}

// crossing is a request that is good in the south. The same bytes are sent to both.
type crossing struct {
	what   string
	send   func(to *house) error
	reason string // of the refusal in the north
}

// got is what came of a Full PKI Request.
func (a *fullAnswer) got() error {
	if a.refusal != nil {
		return a.refusal
	}
	return nil
}

// at is the same request at another house.
func (r *request) at(h *house) error {
	other := *r
	other.h = h
	_, err := other.send()
	return err
}

func (a *ask) at(h *house) error {
	other := *a
	other.h = h
	_, err := other.send()
	return err
}

// report is a device's telemetry.
func report(op brski.Operation, certs []*x509.Certificate, address est.Peer) func(h *house) error {
	return func(h *house) error {
		peer := address
		peer.Certificates = certs
		raw := []byte(`{"version":1,"status":true}`)
		r := &brski.StatusReport{Call: brski.Call{ID: "s", Operation: op, Peer: &peer, At: h.now()}, Raw: raw, Status: brski.Status{Version: 1, Status: true}}
		if op == brski.OpVoucherStatus {
			return h.service.BRSKI().VoucherStatus(h.t.Context(), r)
		}
		return h.service.BRSKI().EnrollStatus(h.t.Context(), r)
	}
}

// enrollments are the ways to authenticate simpleenroll, simplereenroll and csrattrs.
func (n *neighbours) enrollments(t *testing.T) []crossing {
	south := n.south
	idevid := south.vouched("SN-S1")
	chain := []*x509.Certificate{idevid.Certificate, south.idevidCA.Certificate}
	cert, _ := south.enrolledBy("sensor-s1")
	link, linkKey := south.enrolledBy("sensor-s2")
	ra, _ := south.raCertificate()
	code := south.code("dev-s9")
	basic := south.enroll("sensor-s3").basic("south-line")
	hybrid := south.enroll("sensor-s4").basic("south-line").cert(link)
	own := south.enroll("sensor-s2").cert(link).withKey(linkKey)
	bare := &est.Peer{Address: basic.peer.Address}
	shown := func(certs ...*x509.Certificate) *est.Peer {
		return &est.Peer{Address: basic.peer.Address, Certificates: certs}
	}
	question := func(label string, p *est.Peer, ask func(h *house, r *est.Request) error) func(*house) error {
		return func(h *house) error {
			return ask(h, &est.Request{ID: "q", Label: label, Peer: p, At: h.now()})
		}
	}
	csrAttrs := func(h *house, r *est.Request) error { _, err := h.service.CSRAttrs(t.Context(), r); return err }
	anchors := func(h *house, r *est.Request) error { _, err := h.service.CACerts(t.Context(), r); return err }
	return []crossing{
		{"cacerts of a label of the other domain", question("south-only", bare, anchors), registrar.ReasonUnknownLabel},
		{"csrattrs of a label of the other domain", question("south-only", bare, csrAttrs), registrar.ReasonUnknownLabel},
		{"csrattrs with a certificate of the other domain", question("", shown(cert), csrAttrs), registrar.ReasonNotOnRecord},
		{"simpleenroll, password", basic.at, registrar.ReasonBadCredentials},
		{"simpleenroll, password and certificate", hybrid.at, registrar.ReasonNotOnRecord},
		{"simpleenroll, code by HTTP", south.coded("dev-s9", "dev-s9", code, false).at, registrar.ReasonBadCredentials},
		{"simpleenroll, code in the CSR", south.coded("dev-s9", "", south.code("dev-s8"), true).subject(pkix.Name{SerialNumber: "dev-s8"}).at, registrar.ReasonBadCredentials},
		{"simpleenroll, IDevID with a voucher of the other domain", south.enroll("").cert(chain...).subject(pkix.Name{SerialNumber: "SN-S1"}).at, registrar.ReasonDeviceUnknown},
		{"simpleenroll, certificate of the other domain", own.at, registrar.ReasonNotOnRecord},
		{"simpleenroll, RA of the other domain", south.enroll("sensor-s5").cert(ra).at, registrar.ReasonNotOnRecord},
		{"simpleenroll, label of the other domain", south.enroll("sensor-s6").basic("south-line").label("south-only").at, registrar.ReasonUnknownLabel},
		{"simplereenroll", south.enroll("sensor-s1").cert(cert).renewing().at, registrar.ReasonNotOnRecord},
	}
}

// enrolledBy is enrolled of a house that has no group factory.
func (h *house) enrolledBy(name string) (*x509.Certificate, crypto.Signer) {
	h.t.Helper()
	r := h.enroll(name).basic("south-line")
	return r.mustSend(), r.key
}

// keyGenerations go over the wire.
func (n *neighbours) keyGenerations(t *testing.T) []crossing {
	south := n.south
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	r := south.enroll("sensor-k1").basic("south-line").withKey(key)
	cert := r.mustSend()
	identity := &tls.Certificate{Certificate: [][]byte{cert.Raw}, Leaf: cert, PrivateKey: key}
	ask := func(what *est.KeyGenRequest, as func(h *house, c *est.Client)) func(*house) error {
		return func(h *house) error {
			_, err := h.client(n.url[h], func(c *est.Client) { as(h, c) }).ServerKeyGen(t.Context(), what)
			return err
		}
	}
	password := func(user string) func(*house, *est.Client) {
		return func(_ *house, c *est.Client) { c.User, c.Password = user, south.passwords[user] }
	}
	// Whoever is good in both asks for what is the other domain's.
	local := func(h *house, c *est.Client) {
		c.User = map[*house]string{n.north: "north-line", south: "south-line"}[h]
		c.Password = h.passwords[c.User]
	}
	toCertificate := named("sensor-k1")
	toCertificate.Recipient = identity
	return []crossing{
		{"serverkeygen, password", ask(named("sensor-k2"), password("south-line")), "401"},
		{"serverkeygen, certificate", ask(named("sensor-k1"), func(_ *house, c *est.Client) { c.Certificate = identity }), registrar.ReasonNotOnRecord},
		{"serverkeygen, to a shared key of the other domain", ask((&registrarKey{"sensor-k3"}).encryptedTo("kek-south", bytes.Repeat([]byte{8}, 32)), local), est.ReasonKeyGenKey},
		{"serverkeygen, to a certificate of the other domain", ask(toCertificate, local), est.ReasonKeyGenKey},
	}
}

// fullRequests are Full PKI Requests. The revocation comes last: afterwards there is nothing left.
func (n *neighbours) fullRequests(t *testing.T) []crossing {
	south, north := n.south, n.north
	cert, key := south.enrolledBy("sensor-c1")
	ra, raKey := south.raCertificate()
	post := func(f *fullRequest) func(h *house) error {
		message := f.message()
		return func(h *house) error { return h.post(message, &f.peer, f.label).got() }
	}
	renewal := south.full().signed(cert, key)
	renewal.renewal(1, cert, nil)
	byRA := south.full().signed(ra, raKey)
	byRA.named(1, "sensor-c2")
	secret := south.full().own(1, "sensor-7", testpki.NewKey(t)).proving("sensor-7", sensorSecret)
	password := south.full().basic("south-line").own(1, "sensor-c3", testpki.NewKey(t))

	waitingKey := testpki.NewKey(t)
	waiting := south.full().basic("south-line").own(1, "sensor-c4", waitingKey)
	waiting.label = "slow"
	token := waiting.send().pending(south)
	_, err := south.service.Approve(t.Context(), &registrar.Verdicting{Actor: "test", ID: string(token)})
	check(t, err)
	// Asked about with credentials that are good where it is asked: a user of each domain.
	query := south.full().with(cmc.QueryPending(token)).signed(selfSigned(t, waitingKey), waitingKey)
	query.label = "slow"
	message := query.message()
	pendingToken := func(h *house) error {
		user := map[*house]string{north: "north-line", south: "south-line"}[h]
		peer := query.peer
		peer.User, peer.Secret = user, h.passwords[user]
		return h.post(message, &peer, query.label).got()
	}
	// An RA of each domain, revoking a certificate of the south.
	raNorth, raNorthKey := north.raCertificate()
	revocation := func(h *house) error {
		f := h.full().signed(ra, raKey)
		if h == north {
			f = h.full().signed(raNorth, raNorthKey)
		}
		return f.with(h.revocation(cert, "")).send().got()
	}
	confirm := &cmc.ConfirmCertAcceptance{RawIssuer: cert.RawIssuer, SerialNumber: cert.SerialNumber}
	return []crossing{
		{"fullcmc, password", post(password), registrar.ReasonBadCredentials},
		{"fullcmc, shared secret", post(secret), registrar.ReasonCMCSecret},
		{"fullcmc, renewal", post(renewal), registrar.ReasonNotOnRecord},
		{"fullcmc, RA of the other domain", post(byRA), registrar.ReasonNotOnRecord},
		{"fullcmc, pending token", pendingToken, registrar.ReasonCMCToken},
		{"fullcmc, confirmation", post(south.full().signed(cert, key).with(confirm)), registrar.ReasonNotOnRecord},
		{"fullcmc, revocation by itself", post(south.full().signed(cert, key).with(south.revocation(cert, ""))), registrar.ReasonNotOnRecord},
		{"fullcmc, revocation by the RA of the domain asked", revocation, registrar.ReasonCMCCertificate},
	}
}

// bootstraps are the operations of BRSKI. Devices do not ask a registrar for audit-logs: requestauditlog is the MASA's, and
// that it is refused here is in the table of bad requests of cmd/briskest.
func (n *neighbours) bootstraps(t *testing.T) []crossing {
	south := n.south
	south.importSerials("SN-S2")
	idevid := south.idevidCA.IDevID(t, "SN-S2", "")
	asked := south.pledge(idevid, nil)
	if _, err := asked.send(); err != nil {
		t.Fatal(err)
	}
	nonce := south.pledge(south.vouched("SN-S3"), func(q *voucher.Request) { q.Nonce = asked.q.Nonce })
	own := south.enrolledAs(idevid, "SN-S2")
	idevidChain := asked.peer.Certificates
	return []crossing{
		{"requestvoucher, replayed", asked.at, registrar.ReasonDeviceUnlisted},
		{"requestvoucher, with a nonce of the other domain", nonce.at, registrar.ReasonDeviceUnlisted},
		{"voucher_status", report(brski.OpVoucherStatus, idevidChain, *asked.peer), registrar.ReasonNotPending},
		{"enrollstatus, IDevID", report(brski.OpEnrollStatus, idevidChain, *asked.peer), registrar.ReasonNotPending},
		{"enrollstatus, certificate of the other domain", report(brski.OpEnrollStatus, []*x509.Certificate{own.Certificate}, *asked.peer), registrar.ReasonNotOnRecord},
	}
}

func reasonIn(text string) string {
	_, id, _ := bytes.Cut([]byte(text), []byte("reason: "))
	end := bytes.IndexAny(id, ",\r\n)")
	if end < 0 {
		end = len(id)
	}
	return string(id[:end])
}

// refusedFor returns the reason id of an error, and of one over the wire its text.
func refusedFor(err error, want string) (string, bool) {
	var e *est.Error
	var s *est.StatusError
	switch {
	case errors.As(err, &e):
		return e.Reason, e.Reason == want
	case errors.As(err, &s):
		id := reasonIn(s.Message)
		return fmt.Sprintf("%d %s", s.Status, id), id == want || fmt.Sprint(s.Status) == want
	default:
		return fmt.Sprint(err), false
	}
}

// R8 and issue 6, point 3: every operation of EST and BRSKI with what another domain gave, or about what is another domain's, is
// refused, although both have one store, CA, registrar certificate and manufacturer. Each request is good where it belongs.
func TestNoProtocolOperationReachesAnotherDomain(t *testing.T) {
	n := newNeighbours(t)
	var rows []crossing
	for _, some := range [][]crossing{n.bootstraps(t), n.enrollments(t), n.keyGenerations(t), n.fullRequests(t)} {
		rows = append(rows, some...)
	}
	issued := len(n.north.certificates(""))
	before := n.record("south")
	for _, row := range rows {
		id, as := refusedFor(row.send(n.north), row.reason)
		t.Logf("%-58s %s", row.what, id)
		if !as {
			t.Errorf("%s: %s in the other domain, want a refusal as %s", row.what, id, row.reason)
		}
	}
	if n.record("south") != before {
		t.Error("the requests to the one domain are on the other's record")
	}
	if after := len(n.north.certificates("")); after != issued {
		t.Errorf("%d certificates for what is another domain's", after-issued)
	}
	if n.north.masa.count() != 0 {
		t.Error("the MASA was asked in the name of a domain that the device is not of")
	}
	// Each would have been taken where it belongs: the table can fail.
	for _, row := range rows {
		if err := row.send(n.south); err != nil {
			t.Errorf("%s: %v in its own domain", row.what, err)
		}
	}
}

// record is all that is on record of a domain's devices, certificates and doings.
func (n *neighbours) record(domain string) string {
	n.south.t.Helper()
	ctx := n.south.t.Context()
	devices, err := n.south.store.ListDevices(ctx, domain, "", 1000)
	check(n.south.t, err)
	certificates, err := n.south.store.ListCertificates(ctx, &registrar.CertificateQuery{Domain: domain, Limit: 1000})
	check(n.south.t, err)
	entries, err := n.south.store.TrailEntries(ctx, domain, "", 0, 10000)
	check(n.south.t, err)
	out, err := json.Marshal([]any{devices, certificates, len(entries)})
	check(n.south.t, err)
	return string(out)
}

// R8 and issue 6, point 3: a voucher that was fetched for a device of the one domain is of no use in the other, although manufacturer
// and pinned root are the same.
func TestAVoucherForAnotherDomainsDeviceIsNotImported(t *testing.T) {
	n := newNeighbours(t)
	n.south.importSerials("SN-V1")
	carried := n.south.carry(n.south.order("SN-V1"))
	before, north := n.record("south"), n.record("north")
	for _, domain := range []string{"", "north"} {
		in := *carried
		in.Domain = domain
		_, err := n.north.service.ImportVoucher(t.Context(), &in)
		refusal(t, err, registrar.ReasonDeviceUnlisted, http.StatusNotFound)
	}
	in := *carried
	in.Domain = "south"
	if _, err := n.north.service.ImportVoucher(t.Context(), &in); !errors.Is(err, registrar.ErrNotFound) {
		t.Errorf("in the other domain by its name: %v, want ErrNotFound", err)
	}
	if n.record("south") != before || n.record("north") != north {
		t.Error("a voucher of another domain changed a record")
	}
	row, err := n.south.service.ImportVoucher(t.Context(), carried)
	if err != nil || row.State != registrar.AheadReady {
		t.Errorf("in its own domain: %+v, %v", row, err)
	}
}

// R8: with a CA of its own, a domain's certificates are not even anchored in the other, and its cacerts does not have the other's.
func TestADomainDoesNotTrustAnothersCA(t *testing.T) {
	north := newHouse(t, func(h *house) { h.settings.Domain = "north" })
	root := testpki.NewRoot(t, "south root")
	p, err := profile.New(profile.Device())
	check(t, err)
	issuer, err := localca.New(localca.Config{Certificate: root.Certificate, Key: root.Key, Profiles: map[string]*profile.Profile{"device": p}, Now: north.now})
	check(t, err)
	south := &house{t: t, root: root, ca: root, registrar: root.Registrar(t, "registrar"), issuer: issuer, store: north.store, reads: &faultyStore{Store: north.store}, idevids: map[string]*testpki.Identity{}}
	south.clock.Store(north.clock.Load())
	south.settings = &registrar.Settings{Version: "1", Domain: "south", Labels: map[string]*registrar.Label{"": {Profile: south.profile("device"), Basic: true, Renewal: true}}}
	south.start()
	south.passwords = map[string]est.Secret{"south-line": south.credential("south-line", true, "")}
	cert, _ := south.enrolledBy("sensor-1")
	chain, err := north.service.CACerts(t.Context(), &est.Request{ID: "q", Peer: &est.Peer{}, At: north.now()})
	check(t, err)
	for _, c := range chain {
		if c.Equal(root.Certificate) {
			t.Error("cacerts of one domain has the CA of another")
		}
	}
	renewal := south.enroll("sensor-1").cert(cert).renewing()
	if id, as := refusedFor(renewal.at(north), registrar.ReasonUntrusted); !as {
		t.Errorf("a certificate of the other domain's CA renews: %s", id)
	}
	check(t, renewal.at(south))
}

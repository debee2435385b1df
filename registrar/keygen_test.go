package registrar_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/registrar"
)

// kek is the key that dev-1 and the registrar share.
func kek() []byte { return bytes.Repeat([]byte{9}, 32) }

// keyHouse is a house with shared keys, one of them of another device.
func keyHouse(t testing.TB, change func(d *profile.Document)) (*house, string) {
	h := newHouse(t, func(h *house) {
		h.settings.KeyEncryptionKeys = []*registrar.KeyEncryptionKey{
			{ID: []byte("kek-1"), Key: kek(), Devices: []string{alone}},
			{ID: []byte("kek-2"), Key: bytes.Repeat([]byte{8}, 32), Devices: []string{"dev-2"}},
			{ID: []byte("kek-factory"), Key: bytes.Repeat([]byte{7}, 32), Users: []string{group}},
		}
		h.reprofile(func(d *profile.Document) {
			if change != nil {
				change(d)
			}
		})
	})
	return h, h.serve()
}

func (h *house) as(url, user string) *est.Client {
	return h.client(url, func(c *est.Client) { c.User, c.Password = user, h.passwords[user] })
}

func named(commonName string) *est.KeyGenRequest {
	return &est.KeyGenRequest{Names: &x509.CertificateRequest{Subject: pkix.Name{CommonName: commonName}}}
}

func (r *registrarKey) encryptedTo(id string, key []byte) *est.KeyGenRequest {
	out := named(r.name)
	out.SharedKey = &est.SharedKey{ID: []byte(id), Key: key}
	return out
}

type registrarKey struct{ name string }

// refusedWith checks a refusal over the wire.
func refusedWith(t testing.TB, what string, err error, status int, reason string) {
	t.Helper()
	var e *est.StatusError
	if !errors.As(err, &e) || e.Status != status || !strings.Contains(e.Message, "reason: "+reason) && status != http.StatusUnauthorized {
		t.Errorf("%s: %v, want %d %s", what, err, status, reason)
	}
}

// EST-7030-4.4-02: decided and recorded as an enrollment, and the key nowhere on record.
func TestAGeneratedKeyIsOnRecordWithoutTheKey(t *testing.T) {
	h, url := keyHouse(t, nil)
	k, err := h.as(url, group).ServerKeyGen(t.Context(), named("sensor-7"))
	if err != nil {
		t.Fatal(err)
	}
	rows := h.certificates(registrar.Issued)
	if len(rows) != 1 || !bytes.Equal(rows[0].Raw, k.Certificate.Raw) || rows[0].Operation != registrar.OpKeyGen || rows[0].Credential != "basic:factory" {
		t.Fatalf("on record: %+v", rows)
	}
	issued := h.entries(registrar.KindCertificateIssued)
	if len(issued) != 1 || !strings.Contains(string(issued[0].Body), `"operation":"serverkeygen"`) || !strings.Contains(string(issued[0].Body), `"generated_key":"p256"`) {
		t.Errorf("trail = %s", issued[0].Body)
	}
	private, err := k.Key.(*ecdsa.PrivateKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprintf("%x %x", issued[0].Body, rows[0].Raw)
	if strings.Contains(all, hex.EncodeToString(private)) || strings.Contains(all, hex.EncodeToString([]byte(hex.EncodeToString(private)))) {
		t.Error("the private key is on record")
	}
	if _, err := h.as(url, "nobody").ServerKeyGen(t.Context(), named("sensor-8")); err == nil {
		t.Error("nobody got a key")
	}
	refusedWith(t, "another device's name", errorOf(h.as(url, alone).ServerKeyGen(t.Context(), named("dev-2"))), 403, registrar.ReasonForeignName)
	if n := len(h.certificates("")); n != 1 {
		t.Errorf("%d issuances after refusals, want 1", n)
	}
}

func errorOf(_ *est.ServerKey, err error) error { return err }

// EST-7030-4.4.2-11: the profile decides whether keys are made, and whether they may travel in the clear.
func TestTheProfileSaysWhetherKeysAreMade(t *testing.T) {
	for mode, want := range map[string]string{"off": registrar.ReasonKeyGenNotAllowed, "encrypted": registrar.ReasonKeyEncryption} {
		h, url := keyHouse(t, func(d *profile.Document) { d.ServerKeyGeneration = profile.ServerKeyGeneration{Mode: mode} })
		refusedWith(t, mode, errorOf(h.as(url, alone).ServerKeyGen(t.Context(), named(alone))), 403, want)
		if mode == "encrypted" {
			k, err := h.as(url, alone).ServerKeyGen(t.Context(), (&registrarKey{alone}).encryptedTo("kek-1", kek()))
			if err != nil || !k.Encrypted {
				t.Errorf("an encrypted key: %v", err)
			}
		}
	}
}

// EST-7030-4.4.1-03: the CSR may ask for a kind of key, if the profile lists it.
func TestTheKindOfKeyIsTheProfilesUnlessItListsTheOneAskedFor(t *testing.T) {
	h, url := keyHouse(t, func(d *profile.Document) {
		d.Keys[0].Curves = []string{"p256", "p384"}
		d.ServerKeyGeneration.OnRequest = []string{"rsa2048"}
	})
	for _, c := range []struct{ wish, want est.KeyType }{{est.RSA2048, est.RSA2048}, {est.P384, est.P256}, {est.Ed25519, est.P256}, {"", est.P256}} {
		r := named("sensor-" + string(c.wish))
		r.Type = c.wish
		k, err := h.as(url, group).ServerKeyGen(t.Context(), r)
		if err != nil {
			t.Fatalf("%s: %v", c.wish, err)
		}
		if got := est.KeyTypeOf(k.Key); got != c.want {
			t.Errorf("a CSR with a key of type %q got one of type %q, want %q", c.wish, got, c.want)
		}
	}
}

// EST-7030-4.4.1.1-02: a device names its own keys only, and does not learn which others there are.
func TestADeviceCannotNameAnotherDevicesKey(t *testing.T) {
	h, url := keyHouse(t, nil)
	dev := &registrarKey{alone}
	if _, err := h.as(url, alone).ServerKeyGen(t.Context(), dev.encryptedTo("kek-1", kek())); err != nil {
		t.Errorf("its own key: %v", err)
	}
	if _, err := h.as(url, group).ServerKeyGen(t.Context(), (&registrarKey{"sensor-1"}).encryptedTo("kek-factory", bytes.Repeat([]byte{7}, 32))); err != nil {
		t.Errorf("the key of a user: %v", err)
	}
	before := len(h.certificates(""))
	var told []string
	for _, id := range []string{"kek-2", "kek-factory", "no such key"} {
		err := errorOf(h.as(url, alone).ServerKeyGen(t.Context(), dev.encryptedTo(id, bytes.Repeat([]byte{8}, 32))))
		refusedWith(t, id, err, 400, est.ReasonKeyGenKey)
		told = append(told, fmt.Sprint(err))
	}
	// A name that it may not have tells nothing of that device's keys either.
	for _, id := range []string{"kek-2", "no such key"} {
		err := errorOf(h.as(url, alone).ServerKeyGen(t.Context(), (&registrarKey{"dev-2"}).encryptedTo(id, bytes.Repeat([]byte{8}, 32))))
		refusedWith(t, "another name with "+id, err, 403, registrar.ReasonForeignName)
	}
	if told[0] != told[1] || told[1] != told[2] {
		t.Errorf("the answers differ: %q", told)
	}
	if after := len(h.certificates("")); after != before {
		t.Errorf("%d issuances for refused requests", after-before)
	}
}

// EST-7030-4.4.1.2-02, EST-7030-4.4.1.2-03: keys are encrypted to certificates of the device itself, if they may be used so.
func TestADeviceCannotNameAnotherDevicesCertificate(t *testing.T) {
	h, url := keyHouse(t, nil)
	identity := func(name string, key *rsa.PrivateKey) *tls.Certificate {
		cert, err := h.as(url, group).SimpleEnroll(t.Context(), testpki.CSR(t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key))
		if err != nil {
			t.Fatal(err)
		}
		return &tls.Certificate{Certificate: [][]byte{cert.Raw}, Leaf: cert, PrivateKey: key}
	}
	newRSA := func() *rsa.PrivateKey {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	own, other := identity("dev-a", newRSA()), identity("dev-b", newRSA())
	self := h.client(url, func(c *est.Client) { c.Certificate = own })
	r := named("dev-a")
	r.Recipient = own
	k, err := self.ServerKeyGen(t.Context(), r)
	if err != nil || !k.Encrypted {
		t.Fatalf("to its own certificate: %v", err)
	}
	// A renewal, whose certificate retires the old one when it is used.
	if rows := h.certificates(registrar.Issued); rows[len(rows)-1].Operation != registrar.OpRenew && rows[0].Operation != registrar.OpRenew && rows[1].Operation != registrar.OpRenew {
		t.Error("a key for a certificate of ours that asks is no renewal")
	}
	r.Recipient = other
	refusedWith(t, "to another's certificate", errorOf(self.ServerKeyGen(t.Context(), r)), 400, est.ReasonKeyGenKey)
	// Who may enroll the device may have its key encrypted to the device.
	r = named("dev-b")
	r.Recipient = other
	if _, err := h.as(url, group).ServerKeyGen(t.Context(), r); err != nil {
		t.Errorf("to a certificate of the device that is enrolled: %v", err)
	}
	r.Recipient = own
	refusedWith(t, "for one device to another's certificate", errorOf(h.as(url, group).ServerKeyGen(t.Context(), r)), 400, est.ReasonKeyGenKey)
	// The names stay those of the certificate.
	r = named("dev-b")
	refusedWith(t, "another name", errorOf(self.ServerKeyGen(t.Context(), r)), 403, est.ReasonReenrollSubject)
	// A certificate for signatures only.
	r = named("dev-c")
	ecKey := testpki.NewKey(t)
	cert, err := h.as(url, group).SimpleEnroll(t.Context(), testpki.CSR(t, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "dev-c"}}, ecKey))
	if err != nil {
		t.Fatal(err)
	}
	r.Recipient = &tls.Certificate{Certificate: [][]byte{cert.Raw}, Leaf: cert, PrivateKey: ecKey}
	refusedWith(t, "digitalSignature only", errorOf(h.as(url, group).ServerKeyGen(t.Context(), r)), 400, est.ReasonKeyGenKey)
	// R1: one that is revoked.
	h.revoke(other.Leaf)
	r = named("dev-b")
	r.Recipient = other
	refusedWith(t, "a revoked certificate", errorOf(h.as(url, group).ServerKeyGen(t.Context(), r)), 400, est.ReasonKeyGenKey)
	revoked := h.client(url, func(c *est.Client) { c.Certificate = other })
	refusedWith(t, "by a revoked certificate", errorOf(revoked.ServerKeyGen(t.Context(), named("dev-b"))), 403, registrar.ReasonRevoked)
}

// Promise 2 of the design: after a lost answer one certificate remains, and a name is no dead end.
func TestAskingAgainForAKeyReplacesTheLostOne(t *testing.T) {
	h, url := keyHouse(t, func(d *profile.Document) { d.AllowSameNameOtherKey = false })
	client := h.as(url, group)
	first, err := client.ServerKeyGen(t.Context(), named("sensor-7"))
	if err != nil {
		t.Fatal(err)
	}
	h.advance(5 * time.Minute)
	second, err := client.ServerKeyGen(t.Context(), named("sensor-7"))
	if err != nil || second.Certificate.Equal(first.Certificate) || first.Key.(*ecdsa.PrivateKey).Equal(second.Key) {
		t.Fatalf("asking again: %v, or the same key", err)
	}
	issued, revoked := h.certificates(registrar.Issued), h.certificates(registrar.Revoked)
	if len(issued) != 1 || !bytes.Equal(issued[0].Raw, second.Certificate.Raw) || len(revoked) != 1 || revoked[0].RevokeReason != 4 ||
		len(h.entries(registrar.KindCertificateRetired)) != 1 {
		t.Errorf("%d certificates issued and %d revoked, want one each", len(issued), len(revoked))
	}
	// Others do not replace it, nor does the same peer when the answer is no longer on its way.
	h.passwords["sensor-7"] = h.credential("sensor-7", false, "")
	refusedWith(t, "another peer", errorOf(h.as(url, "sensor-7").ServerKeyGen(t.Context(), named("sensor-7"))), 403, registrar.ReasonNameTaken)
	h.advance(11 * time.Minute)
	refusedWith(t, "eleven minutes later", errorOf(client.ServerKeyGen(t.Context(), named("sensor-7"))), 403, registrar.ReasonNameTaken)
	if n := len(h.certificates(registrar.Issued)); n != 1 {
		t.Errorf("%d certificates issued, want 1", n)
	}
	// And a key that the device made itself is not replaced by one that the server makes.
	h.enroll("sensor-9").basic(group).mustSend()
	refusedWith(t, "after simpleenroll", errorOf(client.ServerKeyGen(t.Context(), named("sensor-9"))), 403, registrar.ReasonNameTaken)
}

// RFC 7030, Section 4.2.3, for serverkeygen: an approval is for one key.
func TestAKeyWaitsForApproval(t *testing.T) {
	h := newHouse(t, func(h *house) { h.settings.Labels[""].Approval = true })
	client := h.as(h.serve(), group)
	approve := func() {
		t.Helper()
		rows, err := h.service.ListPending(t.Context(), "", registrar.StateWaiting, 0)
		if err != nil || len(rows) != 1 {
			t.Fatalf("%d requests wait, %v; want 1", len(rows), err)
		}
		if _, err := h.service.Approve(t.Context(), &registrar.Verdicting{Actor: "test", ID: rows[0].ID}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second key waits anew
		for range 2 { // asking again is the same request
			if _, err := client.ServerKeyGen(t.Context(), named("sensor-7")); !errors.Is(err, est.ErrPending) {
				t.Fatalf("error = %v, want ErrPending", err)
			}
		}
		before := len(h.certificates(""))
		approve()
		if _, err := client.ServerKeyGen(t.Context(), named("sensor-7")); err != nil {
			t.Fatalf("after the approval: %v", err)
		}
		if after := len(h.certificates("")); after != before+1 {
			t.Errorf("%d issuances, want one", after-before)
		}
	}
}

// EST-8295-8-02: receipts are on the trail, of who has authenticated.
func TestReceiptsAreOnTheTrail(t *testing.T) {
	h, url := keyHouse(t, nil)
	receipt, err := asn1.Marshal(struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 2, 1, 2, 78, 3}, asn1.RawValue{Class: 2, Tag: 0, IsCompound: true, Bytes: []byte{0x30, 0}}})
	if err != nil {
		t.Fatal(err)
	}
	send := func(user string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/.well-known/est/serverkeygen/return", strings.NewReader(base64.StdEncoding.EncodeToString(receipt)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/cms")
		r.SetBasicAuth(user, h.passwords[user].Reveal())
		conn, err := tls.Dial("tcp", strings.TrimPrefix(url, "https://"), &tls.Config{RootCAs: h.root.Pool()})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return roundTrip(t, conn, r)
	}
	if got := send(alone); got != 204 {
		t.Errorf("a receipt: %d, want 204", got)
	}
	if got := send("nobody"); got != 401 {
		t.Errorf("nobody's receipt: %d, want 401", got)
	}
	entries := h.entries(registrar.KindKeyReceipt)
	if len(entries) != 1 || !strings.Contains(string(entries[0].Body), hex.EncodeToString(receipt)) || !strings.Contains(string(entries[0].Body), "basic:dev-1") {
		t.Errorf("trail = %+v", entries)
	}
	for range 70 {
		send(alone)
	}
	if n := len(h.entries(registrar.KindKeyReceipt)); n > 60 {
		t.Errorf("%d receipts of one peer within an hour", n)
	}
}

func TestKeysThatAreSharedAreChecked(t *testing.T) {
	h := newHouse(t, nil)
	for what, k := range map[string]*registrar.KeyEncryptionKey{
		"no id": {Key: kek(), Devices: []string{"a"}}, "a short key": {ID: []byte("a"), Key: []byte("b"), Devices: []string{"a"}},
		"of nobody": {ID: []byte("a"), Key: kek()}, "none": nil,
	} {
		set := *h.settings
		set.KeyEncryptionKeys = []*registrar.KeyEncryptionKey{k}
		if err := h.service.Reload(&set); err == nil || strings.Contains(err.Error(), string(kek())) {
			t.Errorf("%s: Reload = %v", what, err)
		}
	}
}

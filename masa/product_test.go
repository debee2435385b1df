package masa_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/testpki"
	"github.com/briskest/briskest/masa"
	"github.com/briskest/briskest/masa/storetest"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// issue asks and returns what was issued by any profile, with its signer.
func (w *world) issue(raw []byte) (*voucher.Voucher, *voucher.Artifact) {
	w.t.Helper()
	got, err := w.service.RequestVoucher(w.t.Context(), w.request(raw))
	if err != nil {
		w.t.Fatalf("RequestVoucher: %v", err)
	}
	v, artifact, err := vouchercms.Format{}.OpenVoucher(got.Raw)
	if err != nil {
		w.t.Fatalf("OpenVoucher of what was issued: %v", err)
	}
	return v, artifact
}

func signerOf(id *testpki.Identity) *voucher.Signer {
	return &voucher.Signer{Key: id.Key, Certificate: id.Certificate}
}

// setProduct changes the settings of a running MASA.
func (w *world) setProduct(change func(*masa.Product)) {
	w.t.Helper()
	p := w.settings.Products["widget"]
	change(&p)
	w.settings.Products["widget"] = p
	if err := w.service.Reload(w.settings); err != nil {
		w.t.Fatal(err)
	}
}

// BRSKI-8366BIS-8.4-05: every pin leaf, as the product's devices need it.
func TestVoucherPinsWhatTheProductSays(t *testing.T) {
	for pin, check := range map[masa.Pin]func(*domain, *voucher.Voucher) bool{
		masa.PinDomainCA: func(d *domain, v *voucher.Voucher) bool {
			return bytes.Equal(v.PinnedDomainCert, d.root.Certificate.Raw)
		},
		masa.PinRegistrar: func(d *domain, v *voucher.Voucher) bool {
			return bytes.Equal(v.PinnedDomainCert, d.registrar.Certificate.Raw)
		},
		masa.PinPubk: func(d *domain, v *voucher.Voucher) bool {
			return bytes.Equal(v.PinnedDomainPubk, d.registrar.Certificate.RawSubjectPublicKeyInfo)
		},
		masa.PinPubkSHA256: func(d *domain, v *voucher.Voucher) bool {
			sum := sha256.Sum256(d.registrar.Certificate.RawSubjectPublicKeyInfo)
			return bytes.Equal(v.PinnedDomainPubkSHA256, sum[:])
		},
	} {
		t.Run(string(pin), func(t *testing.T) {
			w := newWorld(t, func(_ *masa.Settings, p *masa.Product) { p.Pin, p.Profile = pin, masa.RFC8366bis })
			raw := w.ask(w.mine, "0123456789abcdef").bytes(t)
			v, _ := w.issue(raw)
			if !check(w.mine, v) {
				t.Errorf("pins of the voucher: cert %x, pubk %x, pubk-sha256 %x", v.PinnedDomainCert, v.PinnedDomainPubk, v.PinnedDomainPubkSHA256)
			}
			pins := 0
			for _, leaf := range [][]byte{v.PinnedDomainCert, v.PinnedDomainPubk, v.PinnedDomainPubkSHA256} {
				pins += min(len(leaf), 1)
			}
			if pins != 1 {
				t.Errorf("the voucher has %d pins, want one", pins)
			}
			// The domain is known by its CA, whatever is pinned.
			if _, err := w.service.RequestAuditLog(t.Context(), w.request(raw)); err != nil {
				t.Errorf("RequestAuditLog: %v", err)
			}
		})
	}
}

// A pledge that pins a registrar compares with the one it is connected to, and
// not with the one that signed for it.
func TestPinnedRegistrarIsTheOneThePledgeSaw(t *testing.T) {
	w := newWorld(t, func(_ *masa.Settings, p *masa.Product) { p.Pin = masa.PinRegistrar })
	w.own(w.mine)
	front := w.mine.ca.Registrar(t, "TLS front")
	a := w.ask(w.mine, "0123456789abcdef")
	a.pledge.ProximityRegistrarCert = front.Certificate.Raw
	a.chain = append([]*x509.Certificate{front.Certificate}, a.chain...)
	if v, _ := w.issue(a.bytes(t)); !bytes.Equal(v.PinnedDomainCert, front.Certificate.Raw) {
		t.Error("pinned-domain-cert is not the certificate that the pledge saw")
	}
}

// BRSKI-8366-5.3-02: nonce and expires-on exclude each other under
// RFC 8366, and go together under its successor.
func TestNoncedVoucherExpiresUnderRFC8366bisAlone(t *testing.T) {
	w := newWorld(t, nil)
	raw := w.ask(w.mine, "0123456789abcdef").bytes(t)
	if v, _ := w.issue(raw); v.Nonce == "" || !v.ExpiresOn.IsZero() {
		t.Errorf("under RFC 8366: nonce %q, expires-on %s; want the nonce alone", v.Nonce, v.ExpiresOn)
	}
	w = newWorld(t, func(_ *masa.Settings, p *masa.Product) {
		p.Profile, p.Lifetime = masa.RFC8366bis, time.Hour
	})
	raw = w.ask(w.mine, "0123456789abcdef").bytes(t)
	if v, _ := w.issue(raw); v.Nonce == "" || !v.ExpiresOn.Equal(w.at.Add(time.Hour)) {
		t.Errorf("under rfc8366bis: nonce %q, expires-on %s; want both, an hour on", v.Nonce, v.ExpiresOn)
	}
}

// BRSKI-8366-5.3-01: never later than the pinned certificate, under both
// profiles and with every pin.
func TestVoucherEndsWithThePinnedCertificate(t *testing.T) {
	for _, pin := range []masa.Pin{masa.PinDomainCA, masa.PinRegistrar, masa.PinPubk, masa.PinPubkSHA256} {
		for _, nonce := range []string{"", "0123456789abcdef"} {
			w := newWorld(t, func(_ *masa.Settings, p *masa.Product) {
				p.Profile, p.Pin, p.AllowNonceless = masa.RFC8366bis, pin, true
				p.Lifetime, p.NoncelessLifetime = 100*365*24*time.Hour, 100*365*24*time.Hour
			})
			w.own(w.mine)
			v, _ := w.issue(w.ask(w.mine, nonce).bytes(t))
			for _, c := range []*testpki.Identity{w.mine.registrar, w.mine.root} {
				if v.ExpiresOn.IsZero() || v.ExpiresOn.After(c.Certificate.NotAfter) {
					t.Errorf("pin %s, nonce %q: expires-on = %s, %s ends %s", pin, nonce, v.ExpiresOn, c.Certificate.Subject, c.Certificate.NotAfter)
				}
			}
		}
	}
}

// BRSKI-8995-11.6.2.2-01: several voucher keys at a time, by batch and by day,
// and the revocation of one.
func TestVoucherKeysAreRolledOverByBatchAndByDay(t *testing.T) {
	w := unstarted(t, nil)
	batch, early := testpki.NewRoot(t, "vouchers of batch 7"), testpki.NewRoot(t, "early vouchers")
	p := w.settings.Products["widget"]
	p.DeviceSigners = []masa.DeviceSigner{
		{Signer: signerOf(batch), Batches: []string{"6", "7"}},
		{Signer: signerOf(early), BuiltBefore: w.at.AddDate(-1, 0, 0)},
	}
	w.settings.Products["widget"] = p
	w.memory = storetest.NewMemory()
	w.store = w.memory
	w.start()
	for _, c := range []struct {
		serial, batch string
		built         time.Time
		want          *testpki.Identity
	}{
		{"IN-BATCH", "7", w.at, batch},
		{"IN-BATCH-AND-EARLY", "6", w.at.AddDate(-2, 0, 0), batch},
		{"EARLY", "8", w.at.AddDate(-2, 0, 0), early},
		{"NEITHER", "8", w.at, w.signer},
		{"UNKNOWN", "", time.Time{}, w.signer},
	} {
		t.Run(c.serial, func(t *testing.T) {
			in := &masa.Import{Product: "widget", Batch: c.batch, Devices: []masa.ImportDevice{{SerialNumber: c.serial, BuiltAt: c.built}}}
			if _, err := w.service.ImportDevices(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			if _, artifact := w.issue(w.askFor(c.serial, "0123456789abcdef").bytes(t)); !artifact.Signer.Equal(c.want.Certificate) {
				t.Errorf("signed by %s, want %s", artifact.Signer.Subject, c.want.Certificate.Subject)
			}
		})
	}
	// Batch 7's key is lost: its devices get an update that trusts the common one.
	w.setProduct(func(p *masa.Product) {
		p.DeviceSigners = p.DeviceSigners[1:]
		p.RevokedSigners = []*x509.Certificate{batch.Certificate}
	})
	w.refused(w.askFor("IN-BATCH", "0123456789abcdef").bytes(t), 403, masa.ReasonSignerRevoked)
	if _, artifact := w.issue(w.askFor("IN-BATCH", "fedcba9876543210").bytes(t)); !artifact.Signer.Equal(w.signer.Certificate) {
		t.Errorf("after the revocation signed by %s, want %s", artifact.Signer.Subject, w.signer.Certificate.Subject)
	}
}

// askFor is ask for another device of the vendor.
func (w *world) askFor(serialNumber, nonce string) *ask {
	w.t.Helper()
	a := w.ask(w.mine, nonce)
	a.idevid = w.device(serialNumber)
	a.pledge.SerialNumber, a.registrar.SerialNumber = serialNumber, serialNumber
	return a
}

// device returns the IDevID of a further device, the same each time.
func (w *world) device(serialNumber string) *testpki.Identity {
	w.t.Helper()
	if w.devices[serialNumber] == nil {
		if w.devices == nil {
			w.devices = make(map[string]*testpki.Identity)
		}
		w.devices[serialNumber] = w.idevidCA.IDevID(w.t, serialNumber, "")
	}
	return w.devices[serialNumber]
}

// RFC 8995, Section 11.6.2.2: a nonceless voucher of a revoked key is not
// handed out again although it has not expired.
func TestNoncelessVoucherOfARevokedKeyIsMadeAnew(t *testing.T) {
	w := newWorld(t, func(_ *masa.Settings, p *masa.Product) { p.AllowNonceless = true })
	w.own(w.mine)
	a := w.ask(w.mine, "")
	a.idevid = nil
	raw := a.bytes(t)
	w.issue(raw)
	next := testpki.NewRoot(t, "next vouchers")
	w.setProduct(func(p *masa.Product) {
		p.RevokedSigners = []*x509.Certificate{p.Signer.Certificate}
		p.Signer, p.NoncelessSigner = signerOf(next), nil
	})
	if _, artifact := w.issue(raw); !artifact.Signer.Equal(next.Certificate) {
		t.Errorf("signed by %s, want the next key", artifact.Signer.Subject)
	}
}

// BRSKI-8366BIS-8.6-01, BRSKI-8366BIS-8.6-02: an extension is named as its YANG module is, and is in
// the list of extensions.
func TestExtensionsAreNamedLikeYANGModules(t *testing.T) {
	w := newWorld(t, func(_ *masa.Settings, p *masa.Product) {
		p.Profile = masa.RFC8366bis
		p.Extensions = map[string]json.RawMessage{"example-vendor-voucher": json.RawMessage(`{"tier":3}`), "_flag.only": nil}
	})
	v, artifact := w.issue(w.ask(w.mine, "0123456789abcdef").bytes(t))
	if got := string(v.Extensions["extension:example-vendor-voucher"]); got != `{"tier":3}` {
		t.Errorf("extension:example-vendor-voucher = %q, want what the product has", got)
	}
	if data, there := v.Extensions["extension:_flag.only"]; !there || data != nil {
		t.Errorf("extension without data: there %t, data %q", there, data)
	}
	if !bytes.Contains(artifact.Payload, []byte(`"extensions":["_flag.only","example-vendor-voucher"]`)) {
		t.Errorf("payload %s does not list the extensions", artifact.Payload)
	}
	for _, name := range []string{"", "3gpp", "has space", "-dash", "a:b", "ümlaut", string(bytes.Repeat([]byte("x"), 41))} {
		w.settings.Products["widget"] = withExtension(w.settings.Products["widget"], name)
		if err := w.service.Reload(w.settings); err == nil {
			t.Errorf("Reload took the extension name %q", name)
		}
	}
}

func withExtension(p masa.Product, name string) masa.Product {
	p.Extensions = map[string]json.RawMessage{name: nil}
	return p
}

// BRSKI-8366-5.3-02: nor does a product's lifetime have a voucher expire beside its nonce under RFC 8366.
func TestProductsThatCouldNotWorkAreRefused(t *testing.T) {
	for name, change := range map[string]func(*masa.Product){
		"PubkUnderRFC8366":      func(p *masa.Product) { p.Pin = masa.PinPubk },
		"HashUnderRFC8366":      func(p *masa.Product) { p.Pin = masa.PinPubkSHA256 },
		"LifetimeUnderRFC8366":  func(p *masa.Product) { p.Lifetime = time.Hour },
		"ExtensionUnderRFC8366": func(p *masa.Product) { p.Extensions = map[string]json.RawMessage{"a": nil} },
		"UnknownPin":            func(p *masa.Product) { p.Pin = "everything" },
		"UnknownProfile":        func(p *masa.Product) { p.Profile = "rfc1" },
		"NegativeLifetime":      func(p *masa.Product) { p.Profile, p.Lifetime = masa.RFC8366bis, -1 },
		"NegativeRenewals":      func(p *masa.Product) { p.RenewableFor = -1 },
		"ExtensionNotJSON": func(p *masa.Product) {
			p.Profile, p.Extensions = masa.RFC8366bis, map[string]json.RawMessage{"a": json.RawMessage("{")}
		},
		"SignerOfAllDevices": func(p *masa.Product) { p.DeviceSigners = []masa.DeviceSigner{{Signer: p.Signer}} },
		"SignerWithoutKey":   func(p *masa.Product) { p.DeviceSigners = []masa.DeviceSigner{{Batches: []string{"1"}}} },
		"RevokedInUse":       func(p *masa.Product) { p.RevokedSigners = []*x509.Certificate{p.Signer.Certificate} },
	} {
		t.Run(name, func(t *testing.T) {
			w := unstarted(t, func(_ *masa.Settings, p *masa.Product) { change(p) })
			if s, err := masa.New(t.Context(), masa.Config{Store: storetest.NewMemory(), Settings: w.settings}); err == nil {
				s.Close()
				t.Error("New took the product")
			}
		})
	}
}

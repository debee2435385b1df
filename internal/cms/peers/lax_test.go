package peers_test

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"slices"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/cms"
	"github.com/briskest/briskest/internal/cmstest"
)

// laxCase is a message that we refuse, and whether each peer takes it.
type laxCase struct {
	name                string
	data                []byte
	mozilla, fullsailor bool
}

func laxCases(t *testing.T) []laxCase {
	id := cmstest.New(t, "P-256")
	rsa := cmstest.New(t, "RSA")
	voucher, content := cms.OIDAnimaJSONVoucher(), []byte("content")
	message := func(id *cmstest.Identity, contentType asn1.ObjectIdentifier, spoil func(*cmstest.Message)) []byte {
		m := &cmstest.Message{ContentType: contentType, Content: content, Certificates: [][]byte{id.Certificate.Raw},
			Signers: []cmstest.Signer{{Identity: id, Attributes: [][]byte{cmstest.ContentType(contentType), cmstest.MessageDigest(crypto.SHA256, content)}}}}
		spoil(m)
		return m.Bytes(t)
	}
	spoilt := func(spoil func(*cmstest.Message)) []byte { return message(id, voucher, spoil) }
	sha1 := cmstest.Algorithm(asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26})
	return []laxCase{
		{"wrong content-type attribute", spoilt(func(m *cmstest.Message) { m.Signers[0].Attributes[0] = cmstest.ContentType(cms.OIDData()) }), true, true},
		{"no content-type attribute", spoilt(func(m *cmstest.Message) { m.Signers[0].Attributes = m.Signers[0].Attributes[1:] }), true, true},
		{"two message digests", spoilt(func(m *cmstest.Message) {
			m.Signers[0].Attributes = append(m.Signers[0].Attributes, cmstest.MessageDigest(crypto.SHA256, []byte("x")))
		}), true, true},
		{"no signed attributes beside a voucher", spoilt(func(m *cmstest.Message) { m.Signers[0].Attributes = nil }), true, true},
		{"attributes stripped", spoilt(func(m *cmstest.Message) {
			m.ContentType, m.Content = cms.OIDData(), cmstest.SetOf(m.Signers[0].Attributes...)
			m.Signers[0].Attributes = nil
		}), true, true},
		{"trailing byte", append(spoilt(func(*cmstest.Message) {}), 0), true, true},
		{"SHA-1", message(rsa, voucher, func(m *cmstest.Message) {
			s := &m.Signers[0]
			s.Digest, s.Hash = sha1, crypto.SHA1
			s.Algorithm = cmstest.Algorithm(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 5}, 5, 0)
			s.Attributes[1] = cmstest.MessageDigest(crypto.SHA1, content)
		}), true, true},
		{"changed content", spoilt(func(m *cmstest.Message) { m.Content = []byte("other") }), false, false},
		{"changed signature", spoilt(func(m *cmstest.Message) { m.Signers[0].Signed = content }), false, false},
		{"version 2", spoilt(func(m *cmstest.Message) { m.Version = 2 }), true, true},
	}
}

// What the named libraries take and we refuse. When a peer becomes stricter this fails, and the list is to be mended.
func TestPeersAreLaxerWhereListed(t *testing.T) {
	t.Logf("%-40s %-10s %-10s %s", "message", "mozilla", "fullsailor", "ours")
	for _, c := range laxCases(t) {
		_, errMozilla := mozillaPeer().open(c.data)
		_, errFullsailor := fullsailorPeer().open(c.data)
		_, err := ours().open(c.data)
		t.Logf("%-40s %-10s %-10s %v", c.name, taken(errMozilla), taken(errFullsailor), err)
		if err == nil {
			t.Errorf("%s: we take it", c.name)
		}
		if (errMozilla == nil) != c.mozilla {
			t.Errorf("%s: mozilla: %v, listed as taken: %v", c.name, errMozilla, c.mozilla)
		}
		if (errFullsailor == nil) != c.fullsailor {
			t.Errorf("%s: fullsailor: %v, listed as taken: %v", c.name, errFullsailor, c.fullsailor)
		}
	}
}

func taken(err error) string {
	if err == nil {
		return "takes it"
	}
	return "refuses"
}

// What we take and mozilla refuses.
func TestWeReadMoreWhereListed(t *testing.T) {
	id := cmstest.New(t, "P-256")
	content := bytes.Repeat([]byte("content "), 100)
	r := &cms.SignRequest{ContentType: cms.OIDAnimaJSONVoucher(), Content: content, Key: id.Key, Certificate: id.Certificate}
	byKeyID := *r
	byKeyID.UseSubjectKeyID = true
	for _, test := range []struct {
		name    string
		r       *cms.SignRequest
		segment int
		mozilla bool
	}{
		{"DER", r, -1, true},
		{"indefinite lengths", r, 0, true},
		{"indefinite lengths, content in segments", r, 50, false},
		{"subject key identifier", &byKeyID, -1, false},
	} {
		data, err := cms.Sign(test.r)
		if err != nil {
			t.Fatal(err)
		}
		if test.segment >= 0 {
			data = cmstest.Indefinite(data, test.segment)
		}
		if got, err := ours().open(data); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: we: %v", test.name, err)
		}
		got, err := mozillaPeer().open(data)
		if (err == nil && bytes.Equal(got, content)) != test.mozilla {
			t.Errorf("%s: mozilla: %v, listed as read: %v", test.name, err, test.mozilla)
		}
	}
}

// The reason for a reader of our own: the same input, both readers, printed. Sizes are kept where mozilla's cost is
// a fraction of a second; it grows with the square.
func TestCostOfNestingIsPrinted(t *testing.T) {
	for _, size := range []int{2 << 10, 4 << 10, 8 << 10} {
		data := slices.Concat(bytes.Repeat([]byte{0x30, 0x80}, size/4), make([]byte, size/2))
		start := time.Now()
		_, _ = mozillaPeer().open(data)
		mozilla := time.Since(start)
		start = time.Now()
		_, err := ours().open(data)
		t.Logf("nesting of %5d bytes: mozilla %12s, ours %8s", size, mozilla, time.Since(start))
		if err == nil {
			t.Errorf("nesting of %d bytes succeeded", size)
		}
	}
}

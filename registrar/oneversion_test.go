package registrar_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/registrar"
)

// R21: each request uses one version of the settings from beginning to end: its label's names, its issuer's profile and
// what the trail names are of the same one, while they change under load.
func TestEachCertificateMatchesOneVersionOfTheSettings(t *testing.T) {
	h := newHouse(t, nil)
	odd := *h.settings
	variants := []*registrar.Settings{nil, &odd} // by the settings' number modulo 2
	for n := range variants {
		h.reprofile(func(d *profile.Document) {
			d.Validity.Lifetime = fmt.Sprintf("%dd", 100+n)
			d.Subject.Attributes = append(d.Subject.Attributes, profile.AttributeRule{Type: "organization", Value: fmt.Sprint("variant ", n)})
		})
		s := *h.settings
		label := *s.Labels[""]
		s.Labels = map[string]*registrar.Label{"": &label}
		s.Issuers = map[string]ca.Issuer{registrar.DefaultIssuer: h.issuer}
		variants[n] = &s
	}
	load := func(i int) {
		s := *variants[i%2]
		s.Version = fmt.Sprint(i)
		check(t, h.service.Reload(&s))
	}
	load(2)
	stop := make(chan struct{})
	var loader, devices sync.WaitGroup
	loader.Go(func() {
		for i := 3; ; i++ {
			select {
			case <-stop:
				return
			default:
				load(i)
			}
		}
	})
	for d := range 4 {
		devices.Go(func() {
			for i := range 60 {
				h.enroll(fmt.Sprint("sensor-", d, "-", i)).basic(group).mustSend()
			}
		})
	}
	devices.Wait()
	close(stop)
	loader.Wait()
	certs := map[string]*registrar.Certificate{}
	for _, c := range h.certificates(registrar.Issued) {
		certs[fmt.Sprintf("%x", c.Serial)] = c
	}
	seen := [2]int{}
	for _, e := range h.entries(registrar.KindCertificateIssued) {
		var body struct{ Settings, Serial string }
		check(t, json.Unmarshal(e.Body, &body))
		n, err := strconv.Atoi(body.Settings)
		check(t, err)
		row := certs[body.Serial]
		days := int(row.NotAfter.Sub(h.now()).Hours()/24 + 0.5)
		if want := fmt.Sprintf("O=variant %d", n%2); days != 100+n%2 || len(row.Subject) < len(want) || row.Subject[len(row.Subject)-len(want):] != want {
			t.Errorf("the trail names settings %d, the certificate is for %d days and %q, want %d and %q", n, days, row.Subject, 100+n%2, want)
		}
		seen[n%2]++
	}
	if seen[0] == 0 || seen[1] == 0 {
		t.Errorf("certificates by variant: %v, want some of each", seen)
	}
}

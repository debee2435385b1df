package localca_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509/pkix"
	"fmt"
	"log"
	"net"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/localca"
	"github.com/briskest/briskest/ca/profile"
)

// A root that issues a registrar's certificate.
func Example() {
	ctx := context.Background()
	record := func(_ context.Context, in *ca.Intent) error {
		fmt.Println("on record:", in.Profile)
		return nil // once it is durable
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	root, err := localca.NewRoot(ctx, key, &localca.Authority{
		Subject: pkix.Name{CommonName: "Example root"}, Lifetime: "7300d", PathLength: 1, Record: record,
	})
	if err != nil {
		log.Fatal(err)
	}
	profiles, err := profile.NewSet(profile.Registrar(), profile.Device(), profile.RAClient())
	if err != nil {
		log.Fatal(err)
	}
	issuer, err := localca.New(localca.Config{Certificate: root, Key: key, Profiles: profiles})
	if err != nil {
		log.Fatal(err)
	}
	tlsKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	cert, err := issuer.Certify(ctx, &ca.Request{
		Profile: "registrar", PublicKey: tlsKey.Public(), Subject: pkix.Name{CommonName: "registrar"}.ToRDNSequence(),
		Names:  ca.Names{DNS: []string{"localhost"}, IP: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}},
		Record: record,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(cert.Subject, cert.DNSNames, cert.IPAddresses)
	// Output:
	// on record: root-ca
	// on record: registrar
	// CN=registrar [localhost] [127.0.0.1 ::1]
}

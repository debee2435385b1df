package vouchercms_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log"
	"math/big"
	"time"

	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// A MASA signs a voucher; a pledge opens it and then decides about the signer.
func Example() {
	created := time.Date(2026, 11, 22, 22, 21, 7, 0, time.UTC)
	masa := selfSigned("MASA", created)
	domainCA := selfSigned("Domain CA", created)

	var format voucher.Format = vouchercms.Format{}
	artifact, err := format.SignVoucher(context.Background(), &voucher.Voucher{
		Assertion:        voucher.Proximity,
		CreatedOn:        created,
		SerialNumber:     "PEER-0001",
		Nonce:            "yrtSQhecSZPc4PVZDes6xw==",
		PinnedDomainCert: domainCA.Certificate.Raw,
	}, masa)
	if err != nil {
		log.Fatal(err)
	}

	// Opening says who signed, and nothing about trust.
	v, opened, err := format.OpenVoucher(artifact)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(v.SerialNumber, v.Assertion, "signed by", opened.Signer.Subject.CommonName)

	// Trust is a second, visible call.
	anchors := x509.NewCertPool()
	anchors.AddCert(masa.Certificate)
	if _, err := opened.VerifySigner(anchors, created.Add(time.Minute)); err != nil {
		log.Fatal(err)
	}
	fmt.Println("trusted")
	// Output:
	// PEER-0001 proximity signed by MASA
	// trusted
}

func selfSigned(name string, from time.Time) *voucher.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: from, NotAfter: from.AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		log.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		log.Fatal(err)
	}
	return &voucher.Signer{Key: key, Certificate: cert}
}

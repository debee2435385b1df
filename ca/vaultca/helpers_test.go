package vaultca_test

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"testing"
	"time"
)

func show(v any) string { return fmt.Sprint(v) }

// selfMade is a client certificate that nobody knows.
func selfMade(t testing.TB) *tls.Certificate {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func serialNumber() *big.Int { return big.NewInt(time.Now().UnixNano()) }

// member reads a text below an object of an answer.
func member(t testing.TB, in io.Reader, object, name string) string {
	t.Helper()
	var answer map[string]json.RawMessage
	var inner map[string]any
	if err := json.NewDecoder(in).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(answer[object], &inner); err != nil {
		t.Fatalf("%s: %v in %s", object, err, answer)
	}
	text, _ := inner[name].(string)
	return text
}

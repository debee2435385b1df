// Command vault-pki is HashiCorp Vault's own server, linked with no more than
// the PKI secrets engine and the methods approle and cert, for the tests of
// ca/vaultca. build.sh makes it; it is no part of the product.
//
//	vault-pki ADDRESS DIR
//
// serves TLS on ADDRESS and keeps everything in DIR, where it also writes
// server.pem (its certificate, self-signed) and root-token.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	log "github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/builtin/credential/approle"
	"github.com/hashicorp/vault/builtin/credential/cert"
	"github.com/hashicorp/vault/builtin/logical/pki"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical/file"
	"github.com/hashicorp/vault/vault"
)

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "vault-pki:", err)
		os.Exit(1)
	}
}

func run(address, dir string) error {
	logger := log.New(&log.LoggerOptions{Level: log.Warn})
	storage, err := file.NewFileBackend(map[string]string{"path": filepath.Join(dir, "storage")}, logger)
	if err != nil {
		return err
	}
	core, err := vault.NewCore(&vault.CoreConfig{
		Physical: storage, StorageType: "file", Logger: logger, DisableMlock: true, BuiltinRegistry: registry{},
		LogicalBackends:    map[string]logical.Factory{"pki": pki.Factory},
		CredentialBackends: map[string]logical.Factory{"approle": approle.Factory, "cert": cert.Factory},
	})
	if err != nil {
		return err
	}
	if err := unseal(core, dir); err != nil {
		return err
	}
	certificate, err := serverCertificate(dir)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: vaulthttp.Handler.Handler(&vault.HandlerProperties{Core: core, ListenerConfig: &configutil.Listener{Address: address}}),
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*certificate}, ClientAuth: tls.RequestClientCert,
		},
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return server.ServeTLS(l, "", "")
}

// unseal initializes the server when it is new.
func unseal(core *vault.Core, dir string) error {
	ctx := context.Background()
	name := filepath.Join(dir, "unseal-key")
	key, err := os.ReadFile(name)
	if os.IsNotExist(err) {
		conf := &vault.SealConfig{SecretShares: 1, SecretThreshold: 1}
		result, err := core.Initialize(ctx, &vault.InitParams{BarrierConfig: conf, RecoveryConfig: conf})
		if err != nil {
			return err
		}
		key = result.SecretShares[0]
		if err := os.WriteFile(name, key, 0o600); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "root-token"), []byte(result.RootToken), 0o600); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	_, err = core.Unseal(append([]byte(nil), key...))
	return err
}

func serverCertificate(dir string) (*tls.Certificate, error) {
	name := filepath.Join(dir, "server.pem")
	if pair, err := tls.LoadX509KeyPair(name, name+".key"); err == nil {
		return &pair, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "vault-pki"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	for file, block := range map[string]*pem.Block{name + ".key": {Type: "PRIVATE KEY", Bytes: pkcs8}, name: {Type: "CERTIFICATE", Bytes: der}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			return nil, err
		}
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// registry knows what is linked.
type registry struct{}

func (registry) Contains(name string, kind consts.PluginType) bool {
	switch kind {
	case consts.PluginTypeSecrets:
		return name == "pki"
	case consts.PluginTypeCredential:
		return name == "approle" || name == "cert"
	}
	return false
}

func (registry) Get(name string, kind consts.PluginType) (func() (interface{}, error), bool) {
	factories := map[string]logical.Factory{"pki": pki.Factory, "approle": approle.Factory, "cert": cert.Factory}
	if !(registry{}).Contains(name, kind) {
		return nil, false
	}
	return func() (interface{}, error) { return factories[name], nil }, true
}

func (registry) Keys(kind consts.PluginType) []string {
	switch kind {
	case consts.PluginTypeSecrets:
		return []string{"pki"}
	case consts.PluginTypeCredential:
		return []string{"approle", "cert"}
	}
	return nil
}

func (registry) DeprecationStatus(name string, kind consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, (registry{}).Contains(name, kind)
}

func (registry) IsBuiltinEntPlugin(string, consts.PluginType) bool { return false }

package keystore

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// maxFile bounds a key file, in bytes. An RSA key of 16,384 bits takes 13,000.
const maxFile = 64 << 10

func openFile(path string) (crypto.Signer, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	defer f.Close()
	// The mode is that of the file that was opened, whatever the name means by now.
	if err := closedToOthers(f, path); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%w: %s is larger than %d bytes", ErrFormat, path, maxFile)
	}
	key, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

func closedToOthers(f *os.File, path string) error {
	st, err := f.Stat()
	if err != nil {
		return fmt.Errorf("keystore: %w", err)
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("%w: %s is no regular file", ErrFormat, path)
	}
	// Windows has no such bits: Go makes them up there.
	if mode := st.Mode().Perm(); mode&0o007 != 0 && runtime.GOOS != "windows" {
		return fmt.Errorf("%w: %s has mode %#o, so every user of this machine could have taken the key; run chmod 600 %s, and replace the key if others had access",
			ErrPermissions, path, mode, path)
	}
	return nil
}

// absent refuses a path where something is.
func absent(path string) error {
	_, err := os.Lstat(path)
	switch {
	case err == nil:
		return fmt.Errorf("keystore: %s is there already and is not replaced; remove it or name another: %w", path, fs.ErrExist)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	default:
		return fmt.Errorf("keystore: %w", err)
	}
}

// createFile writes the key as PKCS#8 in PEM (RFC 7468, Section 10): whole
// under another name, then linked to its own, which fails when somebody else
// was faster.
func createFile(path string, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("keystore: %w", err)
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".key-*") // mode 0600
	if err != nil {
		return fmt.Errorf("keystore: %w", err)
	}
	defer os.Remove(f.Name()) // gone already after a rename
	err = pem.Encode(f, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("keystore: write %s: %w", path, err)
	}
	if err := place(f.Name(), path); err != nil {
		return fmt.Errorf("keystore: %w", err)
	}
	return syncDir(dir)
}

func place(from, to string) error {
	err := os.Link(from, to)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	// Some file systems have no links (FAT, on boot media).
	if err := absent(to); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// syncDir makes the new name durable. Windows cannot sync folders.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("keystore: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("keystore: sync %s: %w", dir, err)
	}
	return nil
}

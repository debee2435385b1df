package pledge

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// The names under which a pledge stores, where the format is CMS. The artifacts
// are as sent and received, byte for byte.
const (
	FileState   = "state.json"
	FileRequest = "request.vcj"
	FileVoucher = "voucher.vcj"
	FileCACerts = "cacerts.pem" // the domain's CA certificates, PEM
	FileKey     = "ldevid.key"  // PKCS #8, PEM
	FileLDevID  = "ldevid.pem"  // the LDevID, then the intermediates above it
	fileNextKey = "next.key"    // of a renewal that is not finished
	fileNext    = "next.pem"
	// The CA certificates that came with it, where they are others than before.
	fileNextCACerts = "nextcas.pem"
)

// Storage keeps what a pledge learns. Names are one of the File constants or
// alike: lower-case letters, digits and hyphens, a dot, an extension.
type Storage interface {
	// Load returns what was last saved under name, whole; an error that wraps
	// fs.ErrNotExist when there is none.
	Load(name string) ([]byte, error)
	// Save replaces what is under name, wholly or not at all, and returns when
	// that would survive a power cut.
	Save(name string, data []byte) error
	// Remove deletes name; that there is none is no error.
	Remove(name string) error
}

// Dir stores in files of a directory, which is created (0700) when first
// written to. Files are written aside, synced and renamed. Keys and the state
// are readable by their owner only (0600), the rest by all (0644).
func Dir(path string) Storage { return dir(path) }

type dir string

func (d dir) path(name string) (string, error) {
	if name == "" || strings.HasPrefix(name, ".") || filepath.Base(name) != name {
		return "", fmt.Errorf("storage name %q: %w", name, fs.ErrInvalid)
	}
	return filepath.Join(string(d), name), nil
}

func (d dir) Load(name string) ([]byte, error) {
	path, err := d.path(name)
	if err != nil {
		return nil, err
	}
	const limit = 4 << 20
	if info, err := os.Stat(path); err == nil && info.Size() > limit {
		return nil, fmt.Errorf("%s has %d bytes, the limit is %d", path, info.Size(), limit)
	}
	return os.ReadFile(path)
}

func (d dir) Save(name string, data []byte) error {
	path, err := d.path(name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(string(d), ".new-*") // 0600
	if err != nil {
		return err
	}
	err = fill(f, data, name)
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return d.sync()
}

func (d dir) Remove(name string) error {
	path, err := d.path(name)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return d.sync()
}

// fill writes, syncs and closes f.
func fill(f *os.File, data []byte, name string) error {
	_, err := f.Write(data)
	if err == nil && name != FileState && filepath.Ext(name) != ".key" {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// sync makes renames and removals in the directory durable.
func (d dir) sync() error {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

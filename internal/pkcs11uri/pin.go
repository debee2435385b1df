package pkcs11uri

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
)

// maxPIN bounds a PIN, in bytes.
const maxPIN = 1024

// PIN reads the PIN from the file that pin-source names, without the line's end
// behind it. Without pin-source it returns "": the token then needs none. That
// others can read the file is no error: Kubernetes and Docker hand secrets to
// containers with mode 0644 and 0444. That others can write it is.
func (u *URI) PIN() (string, error) {
	if u.PINSource == "" {
		return "", nil
	}
	f, err := os.Open(u.PINSource)
	if err != nil {
		return "", fmt.Errorf("pkcs11: the token's PIN: %v", err) // no fs.ErrNotExist: the key may well be there
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("pkcs11: the token's PIN: %w", err)
	}
	if !st.Mode().IsRegular() {
		return "", fmt.Errorf("pkcs11: the token's PIN: %s is no regular file", u.PINSource)
	}
	if st.Mode().Perm()&0o002 != 0 && runtime.GOOS != "windows" {
		return "", fmt.Errorf("pkcs11: the token's PIN: everybody may write to %s, and a wrong PIN a few times locks the token; run chmod 600 %s", u.PINSource, u.PINSource)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxPIN+3))
	if err != nil {
		return "", fmt.Errorf("pkcs11: the token's PIN: %w", err)
	}
	data = bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
	if len(data) == 0 || len(data) > maxPIN {
		return "", fmt.Errorf("pkcs11: the token's PIN: %s must hold 1 to %d bytes", u.PINSource, maxPIN)
	}
	return string(data), nil
}

// PINIsOpen reports whether every user of this machine can read the PIN's file.
func (u *URI) PINIsOpen() bool {
	st, err := os.Stat(u.PINSource)
	return err == nil && st.Mode().Perm()&0o004 != 0 && runtime.GOOS != "windows"
}

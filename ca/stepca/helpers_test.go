package stepca_test

import (
	"crypto/rand"
	"encoding/base64"
	"io"
)

func base64url(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

func randReader() io.Reader { return rand.Reader }

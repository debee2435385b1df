package unkind

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/briskest/briskest/internal/cms"
)

// CertsOnly is the media type of certificates (RFC 7030, Section 4.1.3).
const CertsOnly = "application/pkcs7-mime; smime-type=certs-only"

// Answer is what a client gets, byte for byte.
type Answer struct {
	Status int
	Header [][2]string // as spelled; Content-Length is added, unless Chunked
	Body   []byte
	// Chunked sends the body in chunks of 16 bytes (RFC 9112, Section 7.1).
	Chunked bool
	// Pause lets that long pass before each tenth of the body.
	Pause time.Duration
	// Missing is how many bytes fewer than promised are sent before the
	// connection ends.
	Missing int
	// Flood is how many further bytes follow the body, and are promised.
	Flood int
	// Lower spells header names in lower case.
	Lower bool
	// Close ends the connection afterwards.
	Close bool
}

// With returns a copy of a with a header line set, whatever its letter case; an empty value
// takes it away.
func (a Answer) With(name, value string) *Answer {
	var header [][2]string
	for _, line := range a.Header {
		if http.CanonicalHeaderKey(line[0]) != http.CanonicalHeaderKey(name) {
			header = append(header, line)
		}
	}
	if value != "" {
		header = append(header, [2]string{name, value})
	}
	a.Header = header
	return &a
}

// Text answers in words.
func Text(status int, text string) *Answer {
	return &Answer{Status: status, Header: [][2]string{{"Content-Type", "text/plain"}}, Body: []byte(text)}
}

// Later answers 202 with Retry-After (RFC 7030, Section 4.2.3).
func Later(seconds int) *Answer {
	return &Answer{Status: http.StatusAccepted, Header: [][2]string{retryAfter(seconds)}}
}

// Elsewhere redirects with status 307.
func Elsewhere(location string) *Answer {
	return &Answer{Status: http.StatusTemporaryRedirect, Header: [][2]string{{"Location", location}}}
}

// Certificates answers with a certs-only message in base64.
func Certificates(certs ...[]byte) *Answer {
	raw, err := cms.CertsOnly(certs...)
	if err != nil {
		return Text(http.StatusInternalServerError, err.Error())
	}
	return Encoded(CertsOnly, raw)
}

// Encoded answers 200 with base64 in lines of 64 characters.
func Encoded(mediaType string, der []byte) *Answer {
	return &Answer{
		Status: http.StatusOK, Body: Lines(der, 64, "\n"),
		Header: [][2]string{{"Content-Type", mediaType}, {"Content-Transfer-Encoding", "base64"}},
	}
}

// Lines is base64 in lines of that many characters.
func Lines(der []byte, width int, end string) []byte {
	var b bytes.Buffer
	text := base64.StdEncoding.EncodeToString(der)
	for len(text) > width {
		b.WriteString(text[:width] + end)
		text = text[width:]
	}
	b.WriteString(text + end)
	return b.Bytes()
}

// stripped is b without white space.
func stripped(b []byte) []byte { return bytes.Join(bytes.Fields(b), nil) }

// write sends the answer and returns what was sent, without a flood.
func (a *Answer) write(w io.Writer) ([]byte, error) {
	var head bytes.Buffer
	fmt.Fprintf(&head, "HTTP/1.1 %d %s\r\n", a.Status, http.StatusText(a.Status))
	line := func(name, value string) {
		if a.Lower {
			name = string(bytes.ToLower([]byte(name)))
		}
		head.WriteString(name + ": " + value + "\r\n")
	}
	for _, h := range a.Header {
		line(h[0], h[1])
	}
	switch {
	case a.Chunked:
		line("Transfer-Encoding", "chunked")
	case a.Status != http.StatusNoContent:
		line("Content-Length", strconv.Itoa(len(a.Body)+a.Flood))
	}
	if a.Close {
		line("Connection", "close")
	}
	head.WriteString("\r\n")
	body := a.Body
	if a.Chunked {
		body = chunks(body)
	}
	if a.Missing > 0 {
		body = body[:max(0, len(body)-a.Missing)]
	}
	sent := append(bytes.Clone(head.Bytes()), body...)
	if _, err := w.Write(head.Bytes()); err != nil {
		return sent, err
	}
	if err := a.pour(w, body); err != nil {
		return sent, err
	}
	if a.Missing > 0 {
		return sent, io.ErrUnexpectedEOF
	}
	return sent, flood(w, a.Flood)
}

// pour writes the body, slowly where it has to.
func (a *Answer) pour(w io.Writer, body []byte) error {
	if a.Pause == 0 {
		_, err := w.Write(body)
		return err
	}
	piece := len(body)/10 + 1
	for len(body) > 0 {
		time.Sleep(a.Pause)
		n := min(piece, len(body))
		if _, err := w.Write(body[:n]); err != nil {
			return err
		}
		body = body[n:]
	}
	return nil
}

func chunks(body []byte) []byte {
	var b bytes.Buffer
	for len(body) > 0 {
		n := min(16, len(body))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	b.WriteString("0\r\n\r\n")
	return b.Bytes()
}

func flood(w io.Writer, n int) error {
	piece := bytes.Repeat([]byte("QUFB"), 16<<10)
	for n > 0 {
		k := min(n, len(piece))
		if _, err := w.Write(piece[:k]); err != nil {
			return err
		}
		n -= k
	}
	return nil
}

package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
)

// maxAnswer bounds what a client reads.
const maxAnswer = 256 << 20

// Client calls the API. Its errors are *[Error]s where the server gave one;
// errors.Is finds registrar.ErrNotFound, ErrConflict and ErrInvalid in them.
// Methods may be called concurrently.
type Client struct {
	Domain string // of every call; empty for the registrar's
	Actor  string // who acts, for the trail

	http *http.Client
}

// NewClient returns a client that connects with dial, to a unix socket say.
func NewClient(dial func(ctx context.Context) (net.Conn, error)) *Client {
	return &Client{http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
	}}}
}

// NewInProcess returns a client that calls a handler without any connection.
func NewInProcess(h http.Handler) *Client {
	return &Client{http: &http.Client{Transport: inProcess{h}}}
}

// Close closes connections that are kept for the next call.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func (c *Client) by() By { return By{c.Domain, c.Actor} }

// ImportDevices imports devices of a manufacturer: all, or, when the answer
// has problems, none. At most 10000 a call.
func (c *Client) ImportDevices(ctx context.Context, manufacturer string, devices []ImportDevice, dryRun bool) (*Imported, error) {
	return post[Imported](ctx, c, "device-import", &ImportDevices{c.by(), manufacturer, devices, dryRun})
}

// Devices lists the inventory in order of ID.
func (c *Client) Devices(ctx context.Context) iter.Seq2[Device, error] {
	return pages(func(after string, limit int) ([]Device, error) {
		out, err := post[Devices](ctx, c, "device-list", &Page{c.by(), after, limit})
		if err != nil {
			return nil, err
		}
		return out.Devices, nil
	}, func(d *Device) string { return d.ID })
}

// Device returns a device, by ID or serial number, with all that is on record about it.
func (c *Client) Device(ctx context.Context, ref string) (*DeviceView, error) {
	return post[DeviceView](ctx, c, "device-show", &Ref{c.by(), ref})
}

// Why returns why a device got what it got, on record or not.
func (c *Client) Why(ctx context.Context, ref string) (*Explanation, error) {
	return post[Explanation](ctx, c, "device-why", &Ref{c.by(), ref})
}

// SetDeviceState suspends, decommissions or resumes a device.
func (c *Client) SetDeviceState(ctx context.Context, ref, state, reason string) (*Device, error) {
	return post[Device](ctx, c, "device-state", &DeviceState{c.by(), ref, state, reason})
}

// Requests lists requests in a state ("" for all), newest first.
func (c *Client) Requests(ctx context.Context, state string) ([]Pending, error) {
	out, err := post[Requests](ctx, c, "request-list", &RequestList{By: c.by(), State: state})
	if err != nil {
		return nil, err
	}
	return out.Requests, nil
}

// Approve lets a request through when the device asks again.
func (c *Client) Approve(ctx context.Context, id, reason string) (*Pending, error) {
	return post[Pending](ctx, c, "request-approve", &Verdict{c.by(), id, reason})
}

// Deny refuses a request; the device is told the reason.
func (c *Client) Deny(ctx context.Context, id, reason string) (*Pending, error) {
	return post[Pending](ctx, c, "request-deny", &Verdict{c.by(), id, reason})
}

// AddCredential adds an HTTP credential; in's By is filled in.
func (c *Client) AddCredential(ctx context.Context, in AddCredential) (*NewCredential, error) {
	in.By = c.by()
	return post[NewCredential](ctx, c, "credential-add", &in)
}

// Credentials lists the credentials without their secrets.
func (c *Client) Credentials(ctx context.Context) ([]Credential, error) {
	by := c.by()
	out, err := post[Credentials](ctx, c, "credential-list", &by)
	if err != nil {
		return nil, err
	}
	return out.Credentials, nil
}

// DisableCredential ends a credential's use.
func (c *Client) DisableCredential(ctx context.Context, user string) error {
	_, err := post[Nothing](ctx, c, "credential-disable", &User{c.by(), user})
	return err
}

// Certificates lists certificates in order of ID; in's By, After and Limit are filled in.
func (c *Client) Certificates(ctx context.Context, in CertificateList) iter.Seq2[Certificate, error] {
	return pages(func(after string, limit int) ([]Certificate, error) {
		q := in
		q.Page = Page{c.by(), after, limit}
		out, err := post[Certificates](ctx, c, "certificate-list", &q)
		if err != nil {
			return nil, err
		}
		return out.Certificates, nil
	}, func(c *Certificate) string { return c.ID })
}

// Revoke revokes a certificate, or puts it on hold; in's By is filled in.
func (c *Client) Revoke(ctx context.Context, in Revoke) (*Certificate, error) {
	in.By = c.by()
	return post[Certificate](ctx, c, "certificate-revoke", &in)
}

// RevokeMany revokes certificates by what they have in common; in's By is filled in.
func (c *Client) RevokeMany(ctx context.Context, in RevokeMany) (*RevokedMany, error) {
	in.By = c.by()
	return post[RevokedMany](ctx, c, "certificate-revoke-many", &in)
}

// Release takes a certificate from hold; in's By is filled in.
func (c *Client) Release(ctx context.Context, in Revoke) (*Certificate, error) {
	in.By = c.by()
	return post[Certificate](ctx, c, "certificate-release", &in)
}

// Issue has a certificate issued by a label's profile for a PKCS#10 request (DER).
func (c *Client) Issue(ctx context.Context, label string, csr []byte) ([]byte, error) {
	out, err := post[Issued](ctx, c, "certificate-issue", &Issue{By: c.by(), Label: label, CSR: csr})
	if err != nil {
		return nil, err
	}
	return out.Certificate, nil
}

// IssueOwn has a certificate issued for the registrar itself.
func (c *Client) IssueOwn(ctx context.Context, csr []byte) ([]byte, error) {
	out, err := post[Issued](ctx, c, "certificate-issue", &Issue{By: c.by(), CSR: csr, Own: true})
	if err != nil {
		return nil, err
	}
	return out.Certificate, nil
}

// SignCRL signs and records a new revocation list; in's By is filled in.
func (c *Client) SignCRL(ctx context.Context, in SignCRL) (*CRL, error) {
	in.By = c.by()
	return post[CRL](ctx, c, "crl-sign", &in)
}

// CRL returns the newest revocation list on record.
func (c *Client) CRL(ctx context.Context) (*CRL, error) {
	by := c.by()
	return post[CRL](ctx, c, "crl-show", &by)
}

// Trail returns up to limit entries from a sequence number on; device "" does not filter.
func (c *Client) Trail(ctx context.Context, device string, from int64, limit int) ([]Entry, error) {
	out, err := post[Entries](ctx, c, "trail-list", &TrailList{c.by(), device, from, limit})
	if err != nil {
		return nil, err
	}
	return out.Entries, nil
}

// Status returns how the registrar is doing.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	by := c.by()
	return post[Status](ctx, c, "status", &by)
}

// pages reads a list page by page.
func pages[T any](read func(after string, limit int) ([]T, error), key func(*T) string) iter.Seq2[T, error] {
	const size = 1000
	return func(yield func(T, error) bool) {
		for after := ""; ; {
			page, err := read(after, size)
			if err != nil {
				var zero T
				yield(zero, err)
				return
			}
			for i := range page {
				if !yield(page[i], nil) {
					return
				}
			}
			if len(page) < size {
				return
			}
			after = key(&page[len(page)-1])
		}
	}
}

func post[Out any](ctx context.Context, c *Client, name string, in any) (*Out, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://registrar/v1/"+name, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("the registrar: %w", errors.Unwrap(err)) // without the made-up URL
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("the registrar's answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		e := &Error{Status: response.StatusCode}
		if err := json.Unmarshal(answer, e); err != nil || e.Message == "" {
			e.Reason, e.Message = "internal", fmt.Sprintf("the registrar answered %d without a reason", response.StatusCode)
		}
		return nil, e
	}
	out := new(Out)
	if err := json.Unmarshal(answer, out); err != nil {
		return nil, fmt.Errorf("the registrar's answer: %w", err)
	}
	return out, nil
}

// inProcess is an http.RoundTripper that calls a handler.
type inProcess struct{ h http.Handler }

// RoundTrip calls the handler and hands over what it wrote.
func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := &recorder{header: http.Header{}, status: http.StatusOK}
	p.h.ServeHTTP(w, r)
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r,
	}, nil
}

type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header         { return w.header }
func (w *recorder) WriteHeader(status int)      { w.status = status }
func (w *recorder) Write(b []byte) (int, error) { return w.body.Write(b) }

package main

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/pemfile"
)

type estCmd struct {
	CACerts  estCACertsCmd  `cmd:"" name:"cacerts" help:"Get the CA certificates (RFC 7030, Section 4.1)."`
	CSRAttrs estCSRAttrsCmd `cmd:"" name:"csrattrs" help:"Get what a CSR should hold (RFC 7030, Section 4.5)."`
	Enroll   estEnrollCmd   `cmd:"" help:"Get a certificate (RFC 7030, Section 4.2)."`
	Reenroll estReenrollCmd `cmd:"" help:"Renew or rekey a certificate (RFC 7030, Section 4.2.2)."`
	FullCMC  estFullCMCCmd  `cmd:"" name:"fullcmc" help:"Get a certificate by a CMC message (RFC 7030, Section 4.3)."`
	PAL      estPALCmd      `cmd:"" name:"pal" help:"List or fetch the packages that the server has for this client (RFC 8295, Section 2)."`
	CRLs     estCRLsCmd     `cmd:"" name:"crls" help:"Get the revocation lists (RFC 8295, Section 4)."`
	EECerts  estEECertsCmd  `cmd:"" name:"eecerts" help:"Get end-entity certificates (RFC 8295, Section 3)."`

	Baseline estBaselineCmd `cmd:"" name:"baseline" help:"Get the device's baseline configuration, verify and acknowledge it."`

	ServerKeyGen estKeyGenCmd `cmd:"" name:"serverkeygen" help:"Have the server make the key and its certificate (RFC 7030, Section 4.4)."`
}

// estServer says which server.
type estServer struct {
	URL         string `required:"" help:"The server, as https://HOST[:PORT], with or without /.well-known/est."`
	Label       string `help:"The CA label, for servers with several."`
	CA          string `name:"ca" type:"existingfile" help:"PEM file of explicit trust anchors: the server's certificate must chain to one of them, and name the host or be a registration authority's."`
	SystemRoots bool   `help:"Also take a server that this machine's roots vouch for, if its certificate names the host."`
}

// estPeer says which server, and who asks.
type estPeer struct {
	estServer
	User string `help:"HTTP user; the password is the first line of --password-file. A file named user:password pairs, such as est-user.txt, is taken by --user-file."`
	// A password on the command line is seen by everybody on the machine.
	PasswordFile string `type:"existingfile" help:"File whose first line is the password."`
	UserFile     string `type:"existingfile" help:"File whose first line is user:password."`
	TokenFile    string `type:"existingfile" help:"File whose first line is a Bearer token."`
	AllowMD5     bool   `name:"allow-md5" help:"Answer Digest with MD5, for servers that know nothing better."`
	Cert         string `type:"existingfile" help:"PEM file of the client certificate and its chain."`
	Key          string `help:"Key of --cert: a file, or a keystore URI."`
	Follow       bool   `help:"Send the request and the credentials on to another host when the server redirects there and that host passes the same checks."`
}

// maxSecretFile bounds a file with a password or a token, in bytes.
const maxSecretFile = 16 << 10

// bare is a client that knows the server and nobody else.
func (p *estServer) bare() *est.Client {
	return &est.Client{URL: p.URL, Label: p.Label, UserAgent: "briskest"}
}

// trusting is a client that authenticates the server.
func (p *estServer) trusting() (c *est.Client, err error) {
	c = p.bare()
	if p.CA == "" && !p.SystemRoots {
		return nil, cli.Hint(required("--ca or --system-roots"),
			"\"briskest est cacerts --url %s --fingerprint SHA256 --out ca.pem\" gets the file for --ca from the server, by the fingerprint of its root", p.URL)
	}
	if p.CA != "" {
		if c.Roots, err = pemfile.Pool(p.CA); err != nil {
			return nil, err
		}
	}
	if p.SystemRoots {
		if c.Implicit, err = x509.SystemCertPool(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (p *estPeer) client(ctx context.Context, s streams) (*est.Client, error) {
	c, err := p.trusting()
	if err != nil {
		return nil, err
	}
	if p.Cert != "" {
		if p.Key == "" {
			return nil, required("--key")
		}
		if c.Certificate, err = pemfile.Identity(ctx, p.Cert, keyURI(p.Key)); err != nil {
			return nil, err
		}
	}
	c.AllowMD5 = p.AllowMD5
	c.Redirect = func(_ context.Context, r *est.Redirect) bool {
		if !p.Follow {
			cli.Note(s.Err, "the server redirects to %s; --follow sends the request there", r.To.Host)
		}
		return p.Follow
	}
	return c, p.secrets(s, c)
}

// secrets reads user, password and token.
func (p *estPeer) secrets(s streams, c *est.Client) error {
	if p.TokenFile != "" {
		token, err := firstLine(s, p.TokenFile)
		if err != nil {
			return err
		}
		c.Token = est.Secret(token)
	}
	c.User = p.User
	switch {
	case p.UserFile != "":
		line, err := firstLine(s, p.UserFile)
		if err != nil {
			return err
		}
		user, password, ok := strings.Cut(line, ":")
		if !ok {
			return cli.Usage("%s: its first line is not user:password", p.UserFile)
		}
		c.User, c.Password = user, est.Secret(password)
	case p.PasswordFile != "":
		line, err := firstLine(s, p.PasswordFile)
		if err != nil {
			return err
		}
		c.Password = est.Secret(line)
	case p.User != "":
		return required("--password-file")
	}
	return nil
}

func firstLine(s streams, file string) (string, error) {
	data, err := readBounded(s.In, file, maxSecretFile)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return strings.TrimSuffix(line, "\r"), nil
}

// keyURI takes a plain path for a file: URI.
func keyURI(key string) string {
	if strings.Contains(key, ":") {
		return key
	}
	return "file:" + key
}

// estFailure turns what the server said, or that it said nothing, into an exit code.
func estFailure(err error) error {
	var pending *est.PendingError
	var status *est.StatusError
	switch {
	case errors.As(err, &pending):
		return cli.Pending("the server has not decided", pending.RetryAfter)
	case errors.As(err, &status) && notNow(status.Status):
		return cli.Hint(cli.Unreachable(err), "nothing was decided: ask again%s", afterThat(status.RetryAfter))
	case errors.As(err, &status):
		return cli.Refused(err)
	case errors.Is(err, est.ErrURL):
		return cli.Usage("%w", err)
	case unreachable(err):
		return cli.Unreachable(err)
	}
	return err
}

// notNow knows the statuses by which a server, or a proxy before it, says that it
// cannot answer now, and nothing about what was asked (RFC 9110, Section 15.6).
func notNow(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// afterThat says how long a server asks to wait; empty when it does not.
func afterThat(wait time.Duration) string {
	if wait <= 0 {
		return " later"
	}
	return " in " + wait.String()
}

// unreachable reports whether no connection was made, or no answer came on it.
func unreachable(err error) bool {
	var op *net.OpError
	var timeout net.Error
	switch {
	case errors.As(err, &op) && op.Op == "dial", errors.As(err, &timeout) && timeout.Timeout():
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrDeadlineExceeded)
}

// estWait is the flag of what may take a decision.
type estWait struct {
	Wait time.Duration `help:"How long to repeat the request, in all, while the server has not decided; never earlier than it says. Without, that is exit code 4 at once."`
}

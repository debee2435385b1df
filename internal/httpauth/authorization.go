package httpauth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Bounds of what a peer answers.
const (
	maxAnswer = 4 << 10  // bytes of Basic or Digest
	maxToken  = 16 << 10 // bytes of a Bearer token
)

// ErrMalformed is wrapped by the errors of [ParseAuthorization]. Their texts
// hold nothing of what was sent.
var ErrMalformed = errors.New("malformed credentials")

// Authorization is what one Authorization line carries. One of the fields
// after Scheme is set.
type Authorization struct {
	Scheme         string // SchemeBasic, SchemeDigest or SchemeBearer
	User, Password string // of Basic
	Digest         *Answer
	Token          string // of Bearer; not verified, not even looked at but for its characters and length
}

// ParseAuthorization reads the value of an Authorization line. Other schemes
// and what breaks a bound (4 KiB; 16 KiB for Bearer) are [ErrMalformed].
func ParseAuthorization(header string) (*Authorization, error) {
	scheme, rest, _ := strings.Cut(strings.Trim(header, " \t"), " ")
	rest = strings.Trim(rest, " \t")
	a := &Authorization{}
	var err error
	switch {
	case strings.EqualFold(scheme, SchemeBasic):
		a.Scheme = SchemeBasic
		a.User, a.Password, err = parseBasic(rest)
	case strings.EqualFold(scheme, SchemeDigest):
		a.Scheme = SchemeDigest
		a.Digest, err = parseAnswer(rest)
	case strings.EqualFold(scheme, SchemeBearer):
		a.Scheme, a.Token = SchemeBearer, rest
		err = checkToken(rest)
	default:
		err = fmt.Errorf("%w: the scheme is not known here", ErrMalformed)
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}

// parseBasic reads user-id and password (RFC 7617, Section 2).
func parseBasic(rest string) (user, password string, err error) {
	if len(rest) > maxAnswer {
		return "", "", fmt.Errorf("%w: Basic credentials are too long", ErrMalformed)
	}
	raw, err := base64.StdEncoding.DecodeString(rest)
	if err != nil {
		return "", "", fmt.Errorf("%w: Basic credentials are not base64", ErrMalformed)
	}
	user, password, ok := strings.Cut(string(raw), ":")
	if !ok {
		return "", "", fmt.Errorf("%w: Basic credentials without a colon", ErrMalformed)
	}
	return user, password, nil
}

// checkToken holds a token against the b64token of RFC 6750, Section 2.1.
func checkToken(token string) error {
	if token == "" || len(token) > maxToken {
		return fmt.Errorf("%w: a Bearer token of %d bytes", ErrMalformed, len(token))
	}
	body := strings.TrimRight(token, "=")
	for i := range len(body) {
		if !isToken68Char(body[i]) {
			return fmt.Errorf("%w: a Bearer token has characters that none has", ErrMalformed)
		}
	}
	return nil
}

// parseAnswer reads a Digest (RFC 7616, Section 3.4). Tolerated, because Bouncy
// Castle 1.72 sends them: nc, qop and algorithm in quotes, and an opaque that
// was never given, which is not looked at. A parameter that is there twice is not.
func parseAnswer(rest string) (*Answer, error) {
	if len(rest) > maxAnswer {
		return nil, fmt.Errorf("%w: a Digest is too long", ErrMalformed)
	}
	params, err := parseParams(rest)
	if err != nil {
		return nil, err
	}
	a := &Answer{
		User: params["username"], Realm: params["realm"], Nonce: params["nonce"], URI: params["uri"],
		cnonce: params["cnonce"], nc: params["nc"], response: strings.ToLower(params["response"]),
	}
	switch algorithm := params["algorithm"]; {
	case algorithm == "" || strings.EqualFold(algorithm, string(MD5)):
		a.Algorithm = MD5 // RFC 7616, Section 3.3: without one it is MD5
	case strings.EqualFold(algorithm, string(SHA256)):
		a.Algorithm = SHA256
	default:
		return nil, fmt.Errorf("%w: a Digest with an algorithm that is not known here", ErrMalformed)
	}
	if !strings.EqualFold(params["qop"], "auth") {
		return nil, fmt.Errorf("%w: a Digest without qop=auth", ErrMalformed)
	}
	count, err := strconv.ParseUint(a.nc, 16, 32)
	if err != nil || len(a.nc) != 8 || count == 0 {
		return nil, fmt.Errorf("%w: nc of a Digest is not 8 hexadecimal digits above 0", ErrMalformed)
	}
	a.Count = uint32(count)
	if a.Nonce == "" || a.URI == "" || a.cnonce == "" || len(a.response) != a.Algorithm.size() {
		return nil, fmt.Errorf("%w: a Digest lacks nonce, uri, cnonce or a whole response", ErrMalformed)
	}
	return a, nil
}

func parseParams(rest string) (map[string]string, error) {
	params := make(map[string]string, 12)
	s := scanner{rest}
	for {
		s.skip(" \t,")
		if s.rest == "" {
			return params, nil
		}
		name := strings.ToLower(s.token())
		if name == "" || !s.isParam() {
			return nil, fmt.Errorf("%w: a Digest is not a list of parameters", ErrMalformed)
		}
		value, ok := s.value()
		if _, twice := params[name]; !ok || twice || len(params) >= maxParams {
			return nil, fmt.Errorf("%w: a Digest has a parameter twice, one that does not end, or too many", ErrMalformed)
		}
		params[name] = value
	}
}

//go:build pkcs11

package cryptoki

import (
	"crypto"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/miekg/pkcs11"

	"github.com/briskest/briskest/internal/token"
)

type session struct {
	ctx       *pkcs11.Ctx
	functions functions
	handle    pkcs11.SessionHandle
}

func (s *session) login(pin func() (string, error)) error {
	info, err := s.ctx.GetSessionInfo(s.handle)
	if err != nil {
		return code(err)
	}
	if info.State == pkcs11.CKS_RW_USER_FUNCTIONS {
		return nil
	}
	text, err := pin()
	if err != nil {
		return err
	}
	if text == "" {
		return nil // public sessions have to do
	}
	err = code(s.ctx.Login(s.handle, pkcs11.CKU_USER, text))
	if errors.Is(err, token.UserAlreadyLoggedIn) {
		return nil
	}
	return err
}

// Key finds a private key.
func (s *session) Key(o token.Object) (token.Handle, error) {
	h, err := s.one(pkcs11.CKO_PRIVATE_KEY, o)
	return token.Handle(h), err
}

// one finds the object of a class.
func (s *session) one(class uint, o token.Object) (pkcs11.ObjectHandle, error) {
	want := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, class)}
	if o.Label != "" {
		want = append(want, pkcs11.NewAttribute(pkcs11.CKA_LABEL, o.Label))
	}
	if o.ID != "" {
		want = append(want, pkcs11.NewAttribute(pkcs11.CKA_ID, []byte(o.ID)))
	}
	if err := s.ctx.FindObjectsInit(s.handle, want); err != nil {
		return 0, code(err)
	}
	found, _, err := s.ctx.FindObjects(s.handle, 2)
	if ended := s.ctx.FindObjectsFinal(s.handle); err == nil {
		err = ended
	}
	switch {
	case err != nil:
		return 0, code(err)
	case len(found) == 0:
		return 0, token.ErrNotFound
	case len(found) > 1:
		return 0, token.ErrAmbiguous
	default:
		return found[0], nil
	}
}

// Sign is C_SignInit and C_Sign.
func (s *session) Sign(h token.Handle, m token.Mechanism, data []byte) ([]byte, error) {
	mechanism, err := mechanismOf(m)
	if err != nil {
		return nil, err
	}
	return s.functions.sign(s.handle, pkcs11.ObjectHandle(h), mechanism, data)
}

// wrapped is C_SignInit and C_Sign through the wrapper.
func wrapped(ctx *pkcs11.Ctx, s pkcs11.SessionHandle, key pkcs11.ObjectHandle, m *pkcs11.Mechanism, data []byte) ([]byte, error) {
	if err := ctx.SignInit(s, []*pkcs11.Mechanism{m}, key); err != nil {
		return nil, algorithm(code(err))
	}
	signature, err := ctx.Sign(s, data)
	return signature, code(err)
}

// algorithm says of a mechanism that is not there that it is the algorithm.
func algorithm(err error) error {
	if errors.Is(err, token.MechanismInvalid) || errors.Is(err, token.MechanismParamInvalid) {
		return fmt.Errorf("%w: %w", token.ErrAlgorithm, err)
	}
	return err
}

func mechanismOf(m token.Mechanism) (*pkcs11.Mechanism, error) {
	switch m.Kind {
	case token.ECDSA:
		return pkcs11.NewMechanism(pkcs11.CKM_ECDSA, nil), nil
	case token.EdDSA:
		return pkcs11.NewMechanism(ckmEdDSA, nil), nil
	case token.RSAPKCS1:
		return pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS, nil), nil
	case token.RSAPSS:
		var hash, mgf uint
		switch m.Hash {
		case crypto.SHA256:
			hash, mgf = pkcs11.CKM_SHA256, pkcs11.CKG_MGF1_SHA256
		case crypto.SHA384:
			hash, mgf = pkcs11.CKM_SHA384, pkcs11.CKG_MGF1_SHA384
		case crypto.SHA512:
			hash, mgf = pkcs11.CKM_SHA512, pkcs11.CKG_MGF1_SHA512
		default:
			return nil, fmt.Errorf("%w: PSS over %v", token.ErrAlgorithm, m.Hash)
		}
		return pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS_PSS, pkcs11.NewPSSParams(hash, mgf, uint(m.Salt))), nil
	default:
		return nil, fmt.Errorf("cryptoki: internal error: mechanism %d", m.Kind)
	}
}

// PKCS#11 v3.0, Section 2.3: they came after the wrapper's list.
const (
	ckmEdwardsKeyPairGen = 0x1055
	ckmEdDSA             = 0x1057
	ckkECEdwards         = 0x40
)

// Generate makes a key pair whose private key stays in the token.
func (s *session) Generate(a token.Algorithm, o token.Object) (token.Handle, error) {
	kinds, err := generators(a)
	if err != nil {
		return 0, err
	}
	named := []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, o.Label),
		pkcs11.NewAttribute(pkcs11.CKA_ID, []byte(o.ID)),
	}
	private := append([]*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
		pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false),
		pkcs11.NewAttribute(pkcs11.CKA_SIGN, true),
	}, named...)
	for _, k := range kinds {
		public := append(append([]*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_VERIFY, true)}, named...), k.public...)
		var h pkcs11.ObjectHandle
		if _, h, err = s.ctx.GenerateKeyPair(s.handle, []*pkcs11.Mechanism{pkcs11.NewMechanism(k.mechanism, nil)}, public, private); err == nil {
			return token.Handle(h), nil
		}
	}
	switch c := code(err); {
	case errors.Is(c, token.MechanismInvalid), errors.Is(c, token.Code(pkcs11.CKR_CURVE_NOT_SUPPORTED)), errors.Is(c, token.Code(pkcs11.CKR_DOMAIN_PARAMS_INVALID)),
		errors.Is(c, token.Code(pkcs11.CKR_KEY_SIZE_RANGE)), errors.Is(c, token.Code(pkcs11.CKR_ATTRIBUTE_VALUE_INVALID)):
		return 0, fmt.Errorf("%w: %s: %w", token.ErrAlgorithm, a, c)
	default:
		return 0, c
	}
}

// generator is one way to make a key.
type generator struct {
	mechanism uint
	public    []*pkcs11.Attribute
}

// generators returns the ways to make a key, best first.
func generators(a token.Algorithm) ([]generator, error) {
	if a == "ed25519" {
		// The curve by its name, as tokens older than PKCS#11 v3.0 want it (a
		// PrintableString), then by its number (RFC 8410, Section 3).
		return []generator{
			{ckmEdwardsKeyPairGen, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, edwardsName)}},
			{ckmEdwardsKeyPairGen, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, edwardsOID)}},
		}, nil
	}
	for _, c := range curves {
		if c.name == string(a) {
			return []generator{{pkcs11.CKM_EC_KEY_PAIR_GEN, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, c.oid)}}}, nil
		}
	}
	text, ok := strings.CutPrefix(string(a), "rsa")
	bits, err := strconv.Atoi(text)
	if !ok || err != nil || bits < 2048 || bits > 8192 {
		return nil, fmt.Errorf("%w: %q", token.ErrAlgorithm, string(a))
	}
	return []generator{{pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_MODULUS_BITS, bits),
		pkcs11.NewAttribute(pkcs11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}),
	}}}, nil
}

// Close is C_CloseSession.
func (s *session) Close() error { return code(s.ctx.CloseSession(s.handle)) }

package cmc

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/internal/cms"
)

// CRMF is a CertReqMsg (RFC 4211, Section 3), as CMC takes it (RFC 5272, Section 3.2.1.2.2): its template has a subject,
// which may be empty, and a public key, and there is no regInfo.
type CRMF struct {
	Template CertTemplate
	// Controls are the controls of the CertRequest (RFC 4211, Section 6), unparsed. Those that this package knows are found by
	// Request.POPLink and Request.ChangeSubjectName.
	Controls []CRMFAttribute
	// RawCertRequest is the CertRequest as received: what the proof of possession is over.
	RawCertRequest []byte

	pop popo
}

// CRMFAttribute is an AttributeTypeAndValue (RFC 4211, Section 3).
type CRMFAttribute struct {
	Type  asn1.ObjectIdentifier
	Value []byte // DER
}

// CertTemplate is what a certificate should say (RFC 4211, Section 5). Templates with fields that are the server's own are
// refused when read: serialNumber, signingAlg, issuerUID, subjectUID, and a version other than 3.
type CertTemplate struct {
	RawIssuer           []byte    // Name in DER; nil when absent
	NotBefore, NotAfter time.Time // zero when absent
	RawSubject          []byte    // Name in DER; nil when absent
	// RawSubjectPublicKeyInfo is the key in DER, with the tag of a SEQUENCE; nil when absent.
	RawSubjectPublicKeyInfo []byte
	Extensions              []pkix.Extension
}

// popo is ProofOfPossession (RFC 4211, Section 4).
type popo struct {
	kind      POP
	input     bool // the signature is over a POPOSigningKeyInput
	algorithm cms.AlgorithmIdentifier
	signature []byte
}

// readCRMF reads the contents of a CertReqMsg and sets id to its certReqId.
func readCRMF(in *input, id *BodyPartID) *CRMF {
	c := &CRMF{RawCertRequest: in.element(cryptobyte_asn1.SEQUENCE, "CertRequest")}
	if !in.ok() {
		return c
	}
	request := (&input{s: c.RawCertRequest, err: in.err}).sequence("CertRequest")
	*id = request.bodyPart()
	c.Template = *readCertTemplate(request.sequence("certificate template"))
	if request.more() {
		c.Controls = readCRMFAttributes(request.sequence("controls of a CertRequest"))
	}
	request.end("CertRequest")
	if in.ok() && (c.Template.RawSubject == nil || c.Template.RawSubjectPublicKeyInfo == nil) {
		in.broken(ErrTemplate, "subject and public key are needed")
	}
	if in.more() && !in.is(cryptobyte_asn1.SEQUENCE) {
		c.pop = readPOPO(in)
	}
	if in.more() {
		in.broken(ErrTemplate, "regInfo is not for CMC, or bytes follow the request")
	}
	return c
}

func readCRMFAttributes(list *input) []CRMFAttribute {
	var out []CRMFAttribute
	for list.more() {
		if len(out) == cms.MaxAttributes {
			list.broken(ErrTooLarge, fmt.Sprintf("more than %d controls of a CertRequest", cms.MaxAttributes))
			return nil
		}
		one := list.sequence("control of a CertRequest")
		out = append(out, CRMFAttribute{Type: one.oid("control of a CertRequest"), Value: one.anything("control of a CertRequest")})
		one.end("control of a CertRequest")
	}
	return out
}

// readPOPO reads ProofOfPossession (RFC 4211, Section 4).
func readPOPO(in *input) popo {
	switch raVerified := cryptobyte_asn1.Tag(0).ContextSpecific(); {
	case in.is(raVerified):
		in.open(raVerified, "raVerified").end("raVerified")
		return popo{kind: POPRAVerified}
	case in.is(contextTag(1)):
		body := in.open(contextTag(1), "POPOSigningKey")
		p := popo{kind: POPSignature}
		if body.is(contextTag(0)) {
			body.element(contextTag(0), "POPOSigningKeyInput")
			p.input = true
		}
		p.algorithm = body.algorithm("algorithm of a proof of possession")
		var bits asn1.BitString
		if !body.ok() || !body.s.ReadASN1BitString(&bits) || bits.BitLength%8 != 0 {
			body.broken(ErrSyntax, "signature of a proof of possession")
		}
		p.signature = bits.Bytes
		body.end("POPOSigningKey")
		return p
	case in.is(contextTag(2)), in.is(contextTag(3)):
		in.anything("proof of possession of an encryption key")
		return popo{kind: POPEncryption}
	}
	in.broken(ErrSyntax, "proof of possession with an unknown tag")
	return popo{}
}

// retag returns contents with the tag of a SEQUENCE: what an IMPLICIT tag has hidden.
func retag(contents []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(contents) })
	return b.BytesOrPanic() // lengths of at most MaxSize are no error
}

// readCertTemplate reads the contents of a CertTemplate (RFC 4211, Section 5). Name is a CHOICE, so [3] and [5] are EXPLICIT.
func readCertTemplate(in *input) *CertTemplate {
	t := &CertTemplate{}
	primitive := func(n uint8) cryptobyte_asn1.Tag { return cryptobyte_asn1.Tag(n).ContextSpecific() }
	if in.is(primitive(0)) && in.small(primitive(0), "version of a template") != 2 {
		in.broken(ErrTemplate, "a version other than 3")
	}
	if in.is(primitive(1)) || in.is(contextTag(2)) {
		in.broken(ErrTemplate, "serial number and signing algorithm are the server's")
	}
	if in.is(contextTag(3)) {
		t.RawIssuer = readExplicitName(in, 3)
	}
	if in.is(contextTag(4)) {
		readValidity(in.open(contextTag(4), "validity"), t)
	}
	if in.is(contextTag(5)) {
		t.RawSubject = readExplicitName(in, 5)
	}
	if in.is(contextTag(6)) {
		if key := in.open(contextTag(6), "public key"); key.ok() {
			t.RawSubjectPublicKeyInfo = retag(key.s)
		}
	}
	if in.is(primitive(7)) || in.is(primitive(8)) {
		in.broken(ErrTemplate, "unique identifiers are not for requests")
	}
	if in.is(contextTag(9)) {
		t.Extensions = in.open(contextTag(9), "extensions").extensionsInside("extension of a template")
	}
	in.end("certificate template")
	return t
}

func readExplicitName(in *input, n uint8) []byte {
	wrapped := in.open(contextTag(n), "name in a template")
	name := wrapped.element(cryptobyte_asn1.SEQUENCE, "name in a template")
	wrapped.end("name in a template")
	return name
}

// readValidity reads OptionalValidity: notBefore [0] and notAfter [1], EXPLICIT because Time is a CHOICE.
func readValidity(in *input, t *CertTemplate) {
	for n, at := range []*time.Time{&t.NotBefore, &t.NotAfter} {
		tag := contextTag(uint8(n))
		if !in.is(tag) {
			continue
		}
		wrapped := in.open(tag, "validity")
		if wrapped.is(cryptobyte_asn1.UTCTime) {
			if !wrapped.s.ReadASN1UTCTime(at) {
				wrapped.broken(ErrSyntax, "validity")
			}
		} else {
			*at = wrapped.generalizedTime("validity")
		}
		wrapped.end("validity")
	}
	in.end("validity")
}

// ask has crypto/x509 read the template: it is put into a PKCS #10 request, whose own fields are then removed.
func (c *CRMF) ask(id BodyPartID) (*x509.CertificateRequest, error) {
	algorithm := c.pop.algorithm
	if algorithm.OID == nil {
		algorithm.OID = oidSHA256WithRSA()
	}
	der, err := encodeSequence(func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(0)
			b.AddBytes(c.Template.RawSubject)
			b.AddBytes(c.Template.RawSubjectPublicKeyInfo)
			b.AddASN1(contextTag(0), func(b *cryptobyte.Builder) { addExtensionRequest(b, c.Template.Extensions) })
		})
		addAlgorithm(b, algorithm)
		b.AddASN1BitString([]byte{0})
	})
	if err != nil {
		return nil, fail(FailBadRequest, fmt.Errorf("%w: %w", ErrTemplate, err), id)
	}
	asked, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fail(FailBadRequest, fmt.Errorf("%w: %w", ErrTemplate, err), id)
	}
	asked.Raw, asked.RawTBSCertificateRequest, asked.Signature = nil, nil, nil
	//lint:ignore SA1019 it must not say what the request did not
	asked.Attributes = nil
	if c.pop.algorithm.OID == nil {
		asked.SignatureAlgorithm = x509.UnknownSignatureAlgorithm
	}
	return asked, nil
}

// addExtensionRequest adds the attribute extensionRequest (RFC 2985, Section 5.4.2), unless there are no extensions.
func addExtensionRequest(b *cryptobyte.Builder, extensions []pkix.Extension) {
	if len(extensions) == 0 {
		return
	}
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 14})
		b.AddASN1(cryptobyte_asn1.SET, func(b *cryptobyte.Builder) {
			b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) { addExtensions(b, extensions) })
		})
	})
}

// verify checks the signature over the CertRequest as received (RFC 4211, Section 4.1).
func (c *CRMF) verify(asked *x509.CertificateRequest) error {
	if err := checkKey(asked); err != nil {
		return err
	}
	holder := &x509.Certificate{PublicKey: asked.PublicKey, PublicKeyAlgorithm: asked.PublicKeyAlgorithm}
	return holder.CheckSignature(asked.SignatureAlgorithm, c.RawCertRequest, c.pop.signature)
}

func oidSHA256WithRSA() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
}

// ParseCRMF reads a CertReqMsg by itself (RFC 4211, Section 3), as CMP has it. The rules are those of CMC, see CRMF. Nothing is
// verified. Errors: ErrSyntax, ErrTooLarge, ErrTemplate and those of package cms.
func ParseCRMF(der []byte) (*CRMF, error) {
	if err := wellFormed(der); err != nil {
		return nil, err
	}
	var c *CRMF
	err := decode(der, "CertReqMsg", func(in *input) {
		var id BodyPartID
		c = readCRMF(in.sequence("CertReqMsg"), &id)
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// POP says how the request proves possession of its private key.
func (c *CRMF) POP() POP { return c.pop.kind }

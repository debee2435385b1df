package cmc

import (
	"encoding/asn1"
	"fmt"

	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// parseControl reads a TaggedAttribute (RFC 5272, Section 3.2.1.1). It reports the control's bodyPartID as far as it got.
func parseControl(der []byte) (Control, error) {
	var c Control
	var oid asn1.ObjectIdentifier
	var values [][]byte
	err := decode(der, "control", func(in *input) {
		body := in.sequence("control")
		c.ID = body.bodyPart()
		oid = body.oid("type of a control")
		set := body.open(cryptobyte_asn1.SET, "values of a control")
		for set.more() {
			if len(values) == MaxValues {
				set.broken(ErrTooLarge, fmt.Sprintf("control of more than %d values", MaxValues))
				return
			}
			values = append(values, set.anything("value of a control"))
		}
		body.end("control")
	})
	if err != nil {
		return c, err
	}
	read := controlReader(oid)
	if read == nil {
		c.Value = &UnknownControl{Type: oid, Values: values}
		return c, nil
	}
	if len(values) != 1 {
		return c, fmt.Errorf("%w: control %s with %d values, it has one", ErrSyntax, oid, len(values))
	}
	err = decode(values[0], "control "+oid.String(), func(in *input) { c.Value = read(in) })
	return c, err
}

// controlReader returns what reads the value of a control, or nil for an unknown one.
func controlReader(oid asn1.ObjectIdentifier) func(*input) ControlValue {
	if !underCMC(oid) {
		return nil
	}
	switch oid[len(oid)-1] {
	case arcStatusInfo:
		return func(in *input) ControlValue { return readStatusInfo(in, true) }
	case arcStatusInfoV2:
		return func(in *input) ControlValue { return readStatusInfo(in, false) }
	case arcIdentification:
		return func(in *input) ControlValue { return Identification(in.text("identification")) }
	case arcTransactionID:
		return func(in *input) ControlValue { return &TransactionID{Number: in.integer("transaction identifier")} }
	case arcAddExtensions:
		return readAddExtensions
	case arcModCertTemplate:
		return readModCertTemplate
	case arcEncryptedPOP:
		return readEncryptedPOP
	case arcDecryptedPOP:
		return readDecryptedPOP
	case arcGetCert:
		return readGetCert
	case arcGetCRL:
		return readGetCRL
	case arcRevokeRequest:
		return readRevokeRequest
	case arcConfirmCertAcceptance:
		return readConfirmCertAcceptance
	case arcTrustAnchors:
		return readTrustAnchors
	case arcPublishCert:
		return readPublishCert
	case arcPOPLinkWitnessV2:
		return func(in *input) ControlValue { return readPOPLinkWitnessV2(in) }
	case arcIdentityProofV2:
		return readIdentityProofV2
	}
	if read := octetsReader(oid[len(oid)-1]); read != nil {
		return read
	}
	return referenceReader(oid[len(oid)-1])
}

// octetsReader is controlReader for the controls that are an OCTET STRING.
func octetsReader(arc int) func(*input) ControlValue {
	switch arc {
	case arcIdentityProof:
		return func(in *input) ControlValue { return IdentityProof(in.octets(MaxOctets, "identity proof")) }
	case arcDataReturn:
		return func(in *input) ControlValue { return DataReturn(in.octets(MaxReturned, "data return")) }
	case arcSenderNonce:
		return func(in *input) ControlValue { return SenderNonce(in.octets(MaxOctets, "sender nonce")) }
	case arcRecipientNonce:
		return func(in *input) ControlValue { return RecipientNonce(in.octets(MaxOctets, "recipient nonce")) }
	case arcRegInfo:
		return func(in *input) ControlValue { return RegInfo(in.octets(MaxReturned, "registration info")) }
	case arcResponseInfo:
		return func(in *input) ControlValue { return ResponseInfo(in.octets(MaxReturned, "response info")) }
	case arcQueryPending:
		return func(in *input) ControlValue { return QueryPending(in.octets(MaxOctets, "pending token")) }
	case arcPOPLinkRandom:
		return func(in *input) ControlValue { return POPLinkRandom(in.octets(MaxOctets, "POP link random")) }
	case arcPOPLinkWitness:
		return func(in *input) ControlValue { return POPLinkWitness(in.octets(MaxOctets, "POP link witness")) }
	}
	return nil
}

// referenceReader is controlReader for the controls that name body parts.
func referenceReader(arc int) func(*input) ControlValue {
	switch arc {
	case arcControlsProcessed:
		return func(in *input) ControlValue {
			body := in.sequence("control processed")
			c := ControlsProcessed(body.references("list of processed controls"))
			body.end("control processed")
			return c
		}
	case arcBatchRequests:
		return func(in *input) ControlValue { return BatchRequests(in.bodyParts(1, "batch requests")) }
	case arcBatchResponses:
		return func(in *input) ControlValue { return BatchResponses(in.bodyParts(1, "batch responses")) }
	case arcAuthData:
		return func(in *input) ControlValue { return AuthData(in.bodyPart()) }
	case arcRAIdentityWitness:
		return func(in *input) ControlValue { return RAIdentityWitness(in.path()) }
	case arcResponseBody:
		return func(in *input) ControlValue { return ResponseBody(in.path()) }
	case arcLRAPOPWitness:
		return func(in *input) ControlValue {
			body := in.sequence("RA POP witness")
			c := &LRAPOPWitness{PKIData: body.bodyPart(), Requests: body.bodyParts(0, "requests of an RA POP witness")}
			body.end("RA POP witness")
			return c
		}
	}
	return nil
}

// readStatusInfo reads CMCStatusInfoV2 or CMCStatusInfo (RFC 5272, Sections 6.1.1 and 6.1.2).
func readStatusInfo(in *input, old bool) *StatusInfo {
	body := in.sequence("status info")
	s := &StatusInfo{Old: old, Status: Status(body.small(cryptobyte_asn1.INTEGER, "status"))}
	if old {
		for _, id := range body.bodyParts(1, "body list") {
			s.Bodies = append(s.Bodies, BodyPartPath{id})
		}
	} else {
		s.Bodies = body.references("body list")
	}
	if body.is(cryptobyte_asn1.UTF8String) {
		s.Text = body.text("status string")
	}
	switch {
	case body.is(cryptobyte_asn1.INTEGER):
		f := FailInfo(body.small(cryptobyte_asn1.INTEGER, "failInfo"))
		s.FailInfo = &f
	case body.is(cryptobyte_asn1.SEQUENCE):
		p := body.sequence("pendInfo")
		s.Pending = &Pending{Token: p.octets(MaxOctets, "pendToken"), Time: p.generalizedTime("pendTime")}
		p.end("pendInfo")
	case !old && body.is(contextTag(1)):
		e := body.open(contextTag(1), "extendedFailInfo")
		s.Extended = &ExtendedFailure{Type: e.oid("failInfoOID"), Value: e.anything("failInfoValue")}
		e.end("extendedFailInfo")
	}
	body.end("status info")
	return s
}

func readAddExtensions(in *input) ControlValue {
	body := in.sequence("add extensions")
	c := &AddExtensions{PKIData: body.bodyPart(), Requests: body.bodyParts(0, "requests of add extensions")}
	c.Extensions = body.sequence("extensions to add").extensionsInside("extension to add")
	body.end("add extensions")
	return c
}

func readModCertTemplate(in *input) ControlValue {
	body := in.sequence("modify certification request")
	c := &ModCertTemplate{PKIData: body.path(), Requests: body.bodyParts(1, "requests to modify"), Replace: true}
	if body.is(cryptobyte_asn1.BOOLEAN) && (!body.s.ReadASN1Boolean(&c.Replace) || c.Replace) {
		body.broken(ErrSyntax, "replace: TRUE is the default")
	}
	c.Template = readCertTemplate(body.sequence("template of a modification"))
	body.end("modify certification request")
	return c
}

func readEncryptedPOP(in *input) ControlValue {
	body := in.sequence("encrypted POP")
	c := &EncryptedPOP{}
	raw := body.anything("request of an encrypted POP")
	if body.ok() {
		var err error
		if c.Request, err = parseRequest(raw); err != nil {
			body.broken(ErrSyntax, "request of an encrypted POP: "+err.Error())
		}
	}
	c.ContentInfo = body.element(cryptobyte_asn1.SEQUENCE, "challenge of an encrypted POP")
	c.POPAlgorithm, c.WitnessAlgorithm = body.algorithm("thePOPAlgID"), body.algorithm("witnessAlgID")
	c.Witness = body.octets(MaxOctets, "witness of an encrypted POP")
	body.end("encrypted POP")
	return c
}

func readDecryptedPOP(in *input) ControlValue {
	body := in.sequence("decrypted POP")
	c := &DecryptedPOP{Request: body.bodyPart(), POPAlgorithm: body.algorithm("thePOPAlgID"), POP: body.octets(MaxOctets, "thePOP")}
	body.end("decrypted POP")
	return c
}

func readGetCert(in *input) ControlValue {
	body := in.sequence("get certificate")
	c := &GetCert{RawIssuer: body.anything("issuer"), SerialNumber: body.integer("serial number")}
	body.end("get certificate")
	return c
}

func readGetCRL(in *input) ControlValue {
	body := in.sequence("get CRL")
	c := &GetCRL{RawIssuer: body.element(cryptobyte_asn1.SEQUENCE, "issuer of a CRL")}
	// cRLName is a GeneralName, whose alternatives are all context-specific.
	if body.more() && body.s[0]&0xc0 == 0x80 {
		c.RawName = body.anything("name of a CRL")
	}
	if body.is(cryptobyte_asn1.GeneralizedTime) {
		c.Time = body.generalizedTime("time of a CRL")
	}
	if body.is(cryptobyte_asn1.BIT_STRING) && (!body.s.ReadASN1BitString(&c.Reasons) || c.Reasons.BitLength > 16) {
		body.broken(ErrSyntax, "reasons of a CRL")
	}
	body.end("get CRL")
	return c
}

func readRevokeRequest(in *input) ControlValue {
	body := in.sequence("revocation request")
	c := &RevokeRequest{
		RawIssuer:    body.element(cryptobyte_asn1.SEQUENCE, "issuer"),
		SerialNumber: body.integer("serial number"),
		Reason:       body.small(cryptobyte_asn1.ENUM, "reason"),
	}
	if body.is(cryptobyte_asn1.GeneralizedTime) {
		c.InvalidityDate = body.generalizedTime("invalidity date")
	}
	if body.is(cryptobyte_asn1.OCTET_STRING) {
		c.Passphrase = body.octets(MaxOctets, "passphrase")
	}
	if body.is(cryptobyte_asn1.UTF8String) {
		c.Comment = body.text("comment")
	}
	body.end("revocation request")
	return c
}

func readConfirmCertAcceptance(in *input) ControlValue {
	body := in.sequence("certificate acceptance")
	c := &ConfirmCertAcceptance{RawIssuer: body.element(cryptobyte_asn1.SEQUENCE, "issuer"), SerialNumber: body.integer("serial number")}
	body.end("certificate acceptance")
	return c
}

func readTrustAnchors(in *input) ControlValue {
	body := in.sequence("publish trust anchors")
	c := &TrustAnchors{Sequence: body.integer("sequence number"), Hash: body.algorithm("hash algorithm"), Hashes: body.hashes("anchor hashes")}
	body.end("publish trust anchors")
	return c
}

func readPublishCert(in *input) ControlValue {
	body := in.sequence("publication info")
	c := &PublishCert{Hash: body.algorithm("hash algorithm"), CertHashes: body.hashes("certificate hashes")}
	c.Publication = body.element(cryptobyte_asn1.SEQUENCE, "publication info")
	body.end("publication info")
	return c
}

func readPOPLinkWitnessV2(in *input) *POPLinkWitnessV2 {
	body := in.sequence("POP link witness")
	w := &POPLinkWitnessV2{KeyGeneration: body.algorithm("keyGenAlgorithm"), MAC: body.algorithm("macAlgorithm")}
	w.Witness = body.octets(MaxOctets, "witness")
	body.end("POP link witness")
	return w
}

func readIdentityProofV2(in *input) ControlValue {
	body := in.sequence("identity proof")
	p := &IdentityProofV2{Hash: body.algorithm("proofAlgID"), MAC: body.algorithm("macAlgId"), Witness: body.octets(MaxOctets, "witness")}
	body.end("identity proof")
	return p
}

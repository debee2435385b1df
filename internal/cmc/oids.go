package cmc

import "encoding/asn1"

// The last arcs below id-cmc, 1.3.6.1.5.5.7.7 (RFC 5272, Section 6; RFC 6402, Section 2). RFC 5912, Section 9, exchanges 33
// and 34 in its module; the IANA registry and implementations have them as here.
const (
	arcStatusInfo            = 1
	arcIdentification        = 2
	arcIdentityProof         = 3
	arcDataReturn            = 4
	arcTransactionID         = 5
	arcSenderNonce           = 6
	arcRecipientNonce        = 7
	arcAddExtensions         = 8
	arcEncryptedPOP          = 9
	arcDecryptedPOP          = 10
	arcLRAPOPWitness         = 11
	arcGetCert               = 15
	arcGetCRL                = 16
	arcRevokeRequest         = 17
	arcRegInfo               = 18
	arcResponseInfo          = 19
	arcQueryPending          = 21
	arcPOPLinkRandom         = 22
	arcPOPLinkWitness        = 23
	arcConfirmCertAcceptance = 24
	arcStatusInfoV2          = 25
	arcTrustAnchors          = 26
	arcAuthData              = 27
	arcBatchRequests         = 28
	arcBatchResponses        = 29
	arcPublishCert           = 30
	arcModCertTemplate       = 31
	arcControlsProcessed     = 32
	arcPOPLinkWitnessV2      = 33
	arcIdentityProofV2       = 34
	arcRAIdentityWitness     = 35
	arcChangeSubjectName     = 36
	arcResponseBody          = 37
)

func idCMC(arc int) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 7, arc} }

// OID returns id-cmc-statusInfoV2, or id-cmc-statusInfo for the old form.
func (s *StatusInfo) OID() asn1.ObjectIdentifier {
	if s.Old {
		return idCMC(arcStatusInfo)
	}
	return idCMC(arcStatusInfoV2)
}

// OID returns the control's type.
func (u *UnknownControl) OID() asn1.ObjectIdentifier { return u.Type }

// OID returns id-cmc-identification.
func (Identification) OID() asn1.ObjectIdentifier { return idCMC(arcIdentification) }

// OID returns id-cmc-identityProof.
func (IdentityProof) OID() asn1.ObjectIdentifier { return idCMC(arcIdentityProof) }

// OID returns id-cmc-identityProofV2.
func (*IdentityProofV2) OID() asn1.ObjectIdentifier { return idCMC(arcIdentityProofV2) }

// OID returns id-cmc-dataReturn.
func (DataReturn) OID() asn1.ObjectIdentifier { return idCMC(arcDataReturn) }

// OID returns id-cmc-transactionId.
func (*TransactionID) OID() asn1.ObjectIdentifier { return idCMC(arcTransactionID) }

// OID returns id-cmc-senderNonce.
func (SenderNonce) OID() asn1.ObjectIdentifier { return idCMC(arcSenderNonce) }

// OID returns id-cmc-recipientNonce.
func (RecipientNonce) OID() asn1.ObjectIdentifier { return idCMC(arcRecipientNonce) }

// OID returns id-cmc-addExtensions.
func (*AddExtensions) OID() asn1.ObjectIdentifier { return idCMC(arcAddExtensions) }

// OID returns id-cmc-encryptedPOP.
func (*EncryptedPOP) OID() asn1.ObjectIdentifier { return idCMC(arcEncryptedPOP) }

// OID returns id-cmc-decryptedPOP.
func (*DecryptedPOP) OID() asn1.ObjectIdentifier { return idCMC(arcDecryptedPOP) }

// OID returns id-cmc-lraPOPWitness.
func (*LRAPOPWitness) OID() asn1.ObjectIdentifier { return idCMC(arcLRAPOPWitness) }

// OID returns id-cmc-getCert.
func (*GetCert) OID() asn1.ObjectIdentifier { return idCMC(arcGetCert) }

// OID returns id-cmc-getCRL.
func (*GetCRL) OID() asn1.ObjectIdentifier { return idCMC(arcGetCRL) }

// OID returns id-cmc-revokeRequest.
func (*RevokeRequest) OID() asn1.ObjectIdentifier { return idCMC(arcRevokeRequest) }

// OID returns id-cmc-regInfo.
func (RegInfo) OID() asn1.ObjectIdentifier { return idCMC(arcRegInfo) }

// OID returns id-cmc-responseInfo.
func (ResponseInfo) OID() asn1.ObjectIdentifier { return idCMC(arcResponseInfo) }

// OID returns id-cmc-queryPending.
func (QueryPending) OID() asn1.ObjectIdentifier { return idCMC(arcQueryPending) }

// OID returns id-cmc-popLinkRandom.
func (POPLinkRandom) OID() asn1.ObjectIdentifier { return idCMC(arcPOPLinkRandom) }

// OID returns id-cmc-popLinkWitness.
func (POPLinkWitness) OID() asn1.ObjectIdentifier { return idCMC(arcPOPLinkWitness) }

// OID returns id-cmc-popLinkWitnessV2.
func (*POPLinkWitnessV2) OID() asn1.ObjectIdentifier { return idCMC(arcPOPLinkWitnessV2) }

// OID returns id-cmc-confirmCertAcceptance.
func (*ConfirmCertAcceptance) OID() asn1.ObjectIdentifier { return idCMC(arcConfirmCertAcceptance) }

// OID returns id-cmc-modCertTemplate.
func (*ModCertTemplate) OID() asn1.ObjectIdentifier { return idCMC(arcModCertTemplate) }

// OID returns id-cmc-controlProcessed.
func (ControlsProcessed) OID() asn1.ObjectIdentifier { return idCMC(arcControlsProcessed) }

// OID returns id-cmc-batchRequests.
func (BatchRequests) OID() asn1.ObjectIdentifier { return idCMC(arcBatchRequests) }

// OID returns id-cmc-batchResponses.
func (BatchResponses) OID() asn1.ObjectIdentifier { return idCMC(arcBatchResponses) }

// OID returns id-cmc-publishCert.
func (*PublishCert) OID() asn1.ObjectIdentifier { return idCMC(arcPublishCert) }

// OID returns id-cmc-trustedAnchors.
func (*TrustAnchors) OID() asn1.ObjectIdentifier { return idCMC(arcTrustAnchors) }

// OID returns id-cmc-authData.
func (AuthData) OID() asn1.ObjectIdentifier { return idCMC(arcAuthData) }

// OID returns id-cmc-raIdentityWitness.
func (RAIdentityWitness) OID() asn1.ObjectIdentifier { return idCMC(arcRAIdentityWitness) }

// OID returns id-cmc-responseBody.
func (ResponseBody) OID() asn1.ObjectIdentifier { return idCMC(arcResponseBody) }

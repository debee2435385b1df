package cmp

import (
	"encoding/asn1"
	"math/bits"
	"strconv"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Status is PKIStatus (RFC 4210, Section 5.2.3).
type Status int

// The values of PKIStatus.
const (
	Accepted               Status = 0
	GrantedWithMods        Status = 1
	Rejection              Status = 2
	Waiting                Status = 3
	RevocationWarning      Status = 4
	RevocationNotification Status = 5
	KeyUpdateWarning       Status = 6
)

// String returns the RFC's name of the status, or its number.
func (s Status) String() string {
	names := [...]string{
		"accepted", "grantedWithMods", "rejection", "waiting", "revocationWarning", "revocationNotification", "keyUpdateWarning",
	}
	if s >= 0 && int(s) < len(names) {
		return names[s]
	}
	return "status(" + strconv.Itoa(int(s)) + ")"
}

// Failure is PKIFailureInfo (RFC 4210, Section 5.2.3): bit n of the RFC is 1 << n here.
type Failure uint32

// The bits of PKIFailureInfo.
const (
	BadAlg Failure = 1 << iota
	BadMessageCheck
	BadRequest
	BadTime
	BadCertID
	BadDataFormat
	WrongAuthority
	IncorrectData
	MissingTimeStamp
	BadPOP
	CertRevoked
	CertConfirmed
	WrongIntegrity
	BadRecipientNonce
	TimeNotAvailable
	UnacceptedPolicy
	UnacceptedExtension
	AddInfoNotAvailable
	BadSenderNonce
	BadCertTemplate
	SignerNotTrusted
	TransactionIDInUse
	UnsupportedVersion
	NotAuthorized
	SystemUnavail
	SystemFailure
	DuplicateCertReq
)

func failureNames() []string {
	return []string{
		"badAlg", "badMessageCheck", "badRequest", "badTime", "badCertId", "badDataFormat", "wrongAuthority", "incorrectData",
		"missingTimeStamp", "badPOP", "certRevoked", "certConfirmed", "wrongIntegrity", "badRecipientNonce", "timeNotAvailable",
		"unacceptedPolicy", "unacceptedExtension", "addInfoNotAvailable", "badSenderNonce", "badCertTemplate", "signerNotTrusted",
		"transactionIdInUse", "unsupportedVersion", "notAuthorized", "systemUnavail", "systemFailure", "duplicateCertReq",
	}
}

// String returns the RFC's names of the bits, comma separated; empty when none is set.
func (f Failure) String() string {
	var set []string
	names := failureNames()
	for n := range 32 {
		switch {
		case f&(1<<n) == 0:
		case n < len(names):
			set = append(set, names[n])
		default:
			set = append(set, "bit "+strconv.Itoa(n))
		}
	}
	return strings.Join(set, ", ")
}

// StatusInfo is PKIStatusInfo (RFC 4210, Section 5.2.3). Its texts are the peer's: quote them before anybody reads them.
type StatusInfo struct {
	Status  Status
	Text    []string
	Failure Failure // no bit when absent
}

func readStatusInfo(r *reader) StatusInfo {
	inner := r.sequence("PKIStatusInfo")
	s := StatusInfo{Status: Status(inner.integer("PKIStatus"))}
	if inner.is(cryptobyte_asn1.SEQUENCE) {
		s.Text = inner.texts("statusString")
	}
	if inner.more() {
		var set asn1.BitString
		if !inner.s.ReadASN1BitString(&set) || set.BitLength > 32 {
			inner.broken(ErrSyntax, "failInfo")
		}
		for n := range set.BitLength {
			s.Failure |= Failure(set.At(n)) << n
		}
	}
	inner.end("PKIStatusInfo")
	return s
}

func (s *StatusInfo) add(b *cryptobyte.Builder) {
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(int64(s.Status))
		if len(s.Text) > 0 {
			addTexts(b, s.Text)
		}
		if s.Failure != 0 {
			b.AddASN1(cryptobyte_asn1.BIT_STRING, func(b *cryptobyte.Builder) { addBits(b, s.Failure) })
		}
	})
}

// addBits adds a named bit list: without trailing zero bits (X.690, Section 11.2.2).
func addBits(b *cryptobyte.Builder, f Failure) {
	length := 32 - bits.LeadingZeros32(uint32(f))
	octets := (length + 7) / 8
	b.AddUint8(uint8(8*octets - length))
	reversed := bits.Reverse32(uint32(f))
	for n := range octets {
		b.AddUint8(uint8(reversed >> (24 - 8*n)))
	}
}

// ErrorContent is ErrorMsgContent (RFC 4210, Section 5.3.21).
type ErrorContent struct {
	StatusInfo StatusInfo
	Code       int64    // errorCode; 0 when absent
	Details    []string // the peer's
}

// ErrorContent reads the body of an error message. Errors: ErrKind, ErrSyntax, ErrTooLarge.
func (m *Message) ErrorContent() (*ErrorContent, error) {
	if err := m.expect(ErrorMsg); err != nil {
		return nil, err
	}
	e := &ErrorContent{}
	return e, read(m.Body, "ErrorMsgContent", func(r *reader) {
		inner := r.sequence("ErrorMsgContent")
		e.StatusInfo = readStatusInfo(inner)
		if inner.is(cryptobyte_asn1.INTEGER) {
			e.Code = inner.integer("errorCode")
		}
		if inner.more() {
			e.Details = inner.texts("errorDetails")
		}
		inner.end("ErrorMsgContent")
	})
}

// NewError is the body of an error message.
func NewError(e *ErrorContent) Body {
	return listBody(ErrorMsg, func(b *cryptobyte.Builder) {
		e.StatusInfo.add(b)
		if e.Code != 0 {
			b.AddASN1Int64(e.Code)
		}
		if len(e.Details) > 0 {
			addTexts(b, e.Details)
		}
	})
}

package cmp

import "strconv"

// Kind is the choice of a PKIBody: its tag (RFC 4210, Section 5.1.2).
type Kind uint8

// The kinds that this package reads or writes.
const (
	IR       Kind = 0
	IP       Kind = 1
	CR       Kind = 2
	CP       Kind = 3
	P10CR    Kind = 4
	RR       Kind = 11
	RP       Kind = 12
	PKIConf  Kind = 19
	ErrorMsg Kind = 23
	CertConf Kind = 24
	PollReq  Kind = 25
	PollRep  Kind = 26

	lastKind Kind = 26
)

// String returns the RFC's name of the kind, or its number.
func (k Kind) String() string {
	switch k {
	case IR:
		return "ir"
	case IP:
		return "ip"
	case CR:
		return "cr"
	case CP:
		return "cp"
	case P10CR:
		return "p10cr"
	case RR:
		return "rr"
	case RP:
		return "rp"
	case PKIConf:
		return "pkiconf"
	case ErrorMsg:
		return "error"
	case CertConf:
		return "certConf"
	case PollReq:
		return "pollReq"
	case PollRep:
		return "pollRep"
	default:
		return "body(" + strconv.Itoa(int(k)) + ")"
	}
}

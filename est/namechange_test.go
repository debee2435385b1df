package est_test

import (
	"bytes"
	"testing"

	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/briskest/briskest/est"
)

// EST-6402-2.8-04: the untagged form of RFC 6402, Section 2.8, and the tagged one of its erratum 3943 give the same names.
func TestBothFormsOfAChangeSubjectNameMeanTheSame(t *testing.T) {
	read := func(file string) *est.NameChange {
		t.Helper()
		csr, err := est.ParseCSR(vector(t, "constructed/"+file+".der"))
		if err != nil || csr.ChangeSubjectName == nil {
			t.Fatalf("ParseCSR(%s): %v", file, err)
		}
		return csr.ChangeSubjectName
	}
	same := func(a, b *est.NameChange) bool {
		return bytes.Equal(a.Subject, b.Subject) && bytes.Equal(a.AltNames, b.AltNames)
	}
	both, san := read("csr-csn-both-untagged"), read("csr-csn-san-only-untagged-rfc6402")
	if both.Subject == nil || both.AltNames == nil || !same(both, read("csr-csn-both-tagged-erratum3943")) {
		t.Errorf("both names: %+v", both)
	}
	if san.Subject != nil || !bytes.Equal(san.AltNames, both.AltNames) || !same(san, read("csr-csn-san-only-tagged-erratum3943")) {
		t.Errorf("alternative names alone: %+v", san)
	}
	if subject := read("csr-csn-subject-only"); !bytes.Equal(subject.Subject, both.Subject) || subject.AltNames != nil {
		t.Errorf("a subject alone: %+v", subject)
	}
}

// EST-6402-2.8-02: a change without a name, and one that can be read in two ways or none, is refused.
func TestAChangeSubjectNameIsRefusedThatHasNoNameOrTwoMeanings(t *testing.T) {
	subject := name(atv(oidCommonName, cbasn1.UTF8String, "new"))
	names := sequence(general(2, "new.example"))
	taggedNames := tagged(1, general(2, "new.example"))
	many := sequence(bytes.Repeat(general(2, "a"), 257))
	for what, attributes := range map[string][][]byte{
		"no name":                         {attribute(oidChangeSubjectName, sequence())},
		"no value":                        {attribute(oidChangeSubjectName)},
		"two values":                      {attribute(oidChangeSubjectName, sequence(subject), sequence(names))},
		"the attribute twice":             {attribute(oidChangeSubjectName, sequence(subject)), attribute(oidChangeSubjectName, sequence(subject))},
		"two subjects":                    {attribute(oidChangeSubjectName, sequence(subject, subject))},
		"alternative names twice":         {attribute(oidChangeSubjectName, sequence(names, names))},
		"the names in another order":      {attribute(oidChangeSubjectName, sequence(names, subject))},
		"both forms of alternative names": {attribute(oidChangeSubjectName, sequence(subject, names, taggedNames))},
		"no alternative names":            {attribute(oidChangeSubjectName, sequence(subject, tagged(1, nil)))},
		"an empty list for them":          {attribute(oidChangeSubjectName, sequence(subject, sequence()))},
		"something else":                  {attribute(oidChangeSubjectName, sequence([]byte{5, 0}))},
		"no sequence":                     {attribute(oidChangeSubjectName, []byte{5, 0})},
		"a subject that is none":          {attribute(oidChangeSubjectName, sequence(sequence([]byte{5, 0})))},
	} {
		if _, err := est.ParseCSR(forged{attributes: attributes}.der(t)); reasonOf(err) != est.ReasonCSRChangeSubjectName {
			t.Errorf("ParseCSR with %s: %v", what, err)
		}
	}
	if _, err := est.ParseCSR(forged{attributes: [][]byte{attribute(oidChangeSubjectName, sequence(subject, many))}}.der(t)); reasonOf(err) != est.ReasonCSRTooLarge {
		t.Errorf("ParseCSR with 257 new names: %v", err)
	}
}

// EST-5967-2-01: one request, and nothing behind it.
func TestTwoRequestsInOneBodyAreRefused(t *testing.T) {
	one := forged{}.der(t)
	if _, err := est.ParseCSR(append(bytes.Clone(one), forged{}.der(t)...)); reasonOf(err) != est.ReasonCSRTrailing {
		t.Errorf("ParseCSR of two requests: %v", err)
	}
}

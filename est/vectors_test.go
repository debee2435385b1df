package est_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/briskest/briskest/est"
)

// csrVerdicts are the reasons for which vectors are refused; the rest pass. What passes here and is named neg-csr- is a
// profile's or a policy's to refuse: CA:TRUE, id-kp-cmcRA, RSA with 1024 bits, no name at all, attributes in another order.
func csrVerdicts() map[string]string {
	return map[string]string{
		"neg-csr-bad-signature": est.ReasonCSRSignature, "neg-csr-ber-indefinite": est.ReasonCSRSyntax,
		"neg-csr-duplicate-extension": est.ReasonCSRDuplicateExtension, "neg-csr-no-attributes-field": est.ReasonCSRSyntax,
		"neg-csr-nul-in-dnsname": est.ReasonCSRName, "neg-csr-rsa2048-md5": est.ReasonCSRWeakSignature,
		"neg-csr-rsa2048-sha1": est.ReasonCSRWeakSignature, "neg-csr-trailing-byte": est.ReasonCSRTrailing,
		"neg-csr-truncated": est.ReasonCSRSyntax, "neg-csr-two-extensionrequests": est.ReasonCSRExtensionRequest,
		"neg-csr-version-1": est.ReasonCSRVersion, "csr-p256-two-challengepasswords": est.ReasonCSRChallengePassword,
		"csr-csn-empty-invalid":   est.ReasonCSRChangeSubjectName,
		"a3-simpleenroll-request": est.ReasonCSRWeakSignature, "a4-serverkeygen-request": est.ReasonCSRWeakSignature,
		"libest-US894-req": est.ReasonCSRWeakSignature,
	}
}

// bodyVerdicts are the reasons for which bodies are refused, in their encoding or as what is in it.
func bodyVerdicts() map[string]string {
	return map[string]string{
		"neg-body-08-pem-armour": est.ReasonBodyPEM, "neg-body-09-base64url": est.ReasonBodyBase64, "neg-body-10-no-padding": est.ReasonBodyBase64,
		"neg-body-11-raw-der": est.ReasonBodyDER, "neg-body-12-trailing-nul": est.ReasonBodyBase64, "neg-body-13-double-base64": est.ReasonCSRSyntax,
		"neg-body-14-empty": est.ReasonBodyEmpty, "neg-body-15-interior-garbage": est.ReasonBodyBase64,
	}
}

// verdicts counts what was taken and what was refused.
type verdicts struct{ taken, refused int }

func (v *verdicts) add(err error) {
	if err == nil {
		v.taken++
	} else {
		v.refused++
	}
}

func vectorFiles(t *testing.T, patterns ...string) []string {
	t.Helper()
	var files []string
	for _, pattern := range patterns {
		found, err := filepath.Glob(filepath.Join(vectors(t), pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("no vectors %s: %v", pattern, err)
		}
		files = append(files, found...)
	}
	return files
}

func readVector(t *testing.T, file string) (string, []byte) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	id := filepath.Base(file)
	return strings.TrimSuffix(id, filepath.Ext(id)), data
}

// EST-7030-3.4-01, EST-2986-4.1-01, EST-2986-4.1-02, EST-2986-4.2-01, EST-2986-4.2-02, EST-2985-5.4.1-01, EST-2985-5.4.2-01:
// the published vectors of the EST side are taken or refused as their index says. A CSR without attributes field is
// refused; one whose attributes are not sorted verifies, over the bytes that came.
func TestTheVectorsAreTakenOrRefusedAsTheirIndexSays(t *testing.T) {
	var csrs, bodies, lists verdicts
	for _, file := range vectorFiles(t, "constructed/*csr-*.der", "rfc7030/*-request.der", "rfc9148/*-request.der", "impl/*csr*.der", "impl/libest*.der") {
		id, der := readVector(t, file)
		_, err := est.ParseCSR(der)
		if got, want := reasonOf(err), csrVerdicts()[id]; got != want {
			t.Errorf("ParseCSR(%s): reason %q, want %q", id, got, want)
		}
		csrs.add(err)
	}
	for _, file := range vectorFiles(t, "constructed/*body-*") {
		id, text := readVector(t, file)
		err := parseBody(text)
		if got, want := reasonOf(err), bodyVerdicts()[id]; got != want {
			t.Errorf("%s: reason %q, want %q", id, got, want)
		}
		bodies.add(err)
	}
	for _, file := range vectorFiles(t, "rfc9908/*.der", "rfc8951/*.der", "constructed/csrattrs-*.der", "rfc7030/a2-csrattrs-response.der") {
		id, der := readVector(t, file)
		_, err := est.ParseCSRPlan(der)
		if err != nil {
			t.Errorf("ParseCSRPlan(%s): %v", id, err)
		}
		lists.add(err)
	}
	t.Logf("figures: EST vectors as their index says: CSRs %d taken, %d refused; bodies %d taken, %d refused; lists of CSR attributes %d read",
		csrs.taken, csrs.refused, bodies.taken, bodies.refused, lists.taken)
	if csrs.taken < 20 || csrs.refused < 15 || bodies.taken != 7 || bodies.refused != 8 || lists.taken < 15 {
		t.Error("vectors are missing")
	}
}

// parseBody is what the handler does with the body of an enrollment.
func parseBody(text []byte) error {
	der, e := est.DecodeBase64(text)
	if e != nil {
		return e
	}
	_, err := est.ParseCSR(der)
	return err
}

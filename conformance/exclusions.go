package conformance

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
)

//go:embed peers/*.json
var peers embed.FS

// Exclusions say what is expected of a known peer: which checks it fails or
// skips, and why. An excluded check is asked all the same; its verdict is in
// the report with the sentence, and does not count for the exit code.
type Exclusions struct {
	Peer       string      `json:"peer"` // its name and version
	Exclusions []Exclusion `json:"exclusions"`
}

// Exclusion is one check that the peer is known not to pass.
type Exclusion struct {
	Check    string `json:"check"`    // its ID
	Sentence string `json:"sentence"` // what the peer does, and why
	// Confirmed is the curl or openssl command that shows the same, for a
	// failure, and what it got after a "#"; empty where the check is skipped. A
	// file CHECK.b64 is the body that the check sends: --raw DIR keeps it. In
	// held.pem is a certificate that the peer issued for CN=conformance, a
	// PrintableString, and in foreign.pem one that signs itself.
	Confirmed string `json:"confirmed,omitempty"`
}

// Peers returns the names of the profiles that come with the suite.
func Peers() []string {
	files, err := peers.ReadDir("peers")
	if err != nil {
		return nil
	}
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = strings.TrimSuffix(f.Name(), ".json")
	}
	return names
}

// LoadExclusions reads the profile of that name, or else the file.
func LoadExclusions(nameOrFile string) (*Exclusions, error) {
	data, err := peers.ReadFile(path.Join("peers", nameOrFile+".json"))
	if err != nil {
		if data, err = os.ReadFile(nameOrFile); err != nil {
			return nil, fmt.Errorf("exclusions: %w; the profiles are %s", err, strings.Join(Peers(), ", "))
		}
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	var e Exclusions
	if err := decoder.Decode(&e); err != nil {
		return nil, fmt.Errorf("exclusions %s: %w", nameOrFile, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("exclusions %s: something follows the object", nameOrFile)
	}
	return &e, e.check(nameOrFile)
}

func (e *Exclusions) check(name string) error {
	seen := make(map[string]bool)
	for _, x := range e.Exclusions {
		switch {
		case x.Check == "" || x.Sentence == "":
			return fmt.Errorf("exclusions %s: an entry lacks its check or its sentence", name)
		case seen[x.Check]:
			return fmt.Errorf("exclusions %s: %s is named twice", name, x.Check)
		}
		seen[x.Check] = true
	}
	return nil
}

// Of returns the exclusion of a check, and nil when there is none.
func (e *Exclusions) Of(id string) *Exclusion {
	if e == nil {
		return nil
	}
	i := slices.IndexFunc(e.Exclusions, func(x Exclusion) bool { return x.Check == id })
	if i < 0 {
		return nil
	}
	return &e.Exclusions[i]
}

func (e *Exclusions) apply(result *Result, r *Report) {
	x := e.Of(result.ID)
	switch {
	case x == nil:
	case result.Verdict == VerdictPass:
		r.Stale = append(r.Stale, result.ID)
	default:
		result.Excluded = true
		result.Reason = printable(fmt.Sprintf("expected of %s: %s [%s]", e.Peer, x.Sentence, result.Reason))
	}
}

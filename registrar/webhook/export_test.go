package webhook

import "github.com/briskest/briskest/registrar"

// ParseAnswer reads an answer as Ask does.
func ParseAnswer(body []byte) (*registrar.Decision, error) {
	a, err := parseAnswer(body)
	if err != nil {
		return nil, err
	}
	return a.decision(), nil
}

package profile

import "fmt"

// NewSet makes a profile of each document, by name. Two of one name are an
// error that wraps [ErrDocument].
func NewSet(documents ...*Document) (map[string]*Profile, error) {
	set := make(map[string]*Profile, len(documents))
	for _, d := range documents {
		p, err := New(d)
		if err != nil {
			return nil, err
		}
		if set[p.Name()] != nil {
			return nil, fmt.Errorf("%w: two profiles are named %s", ErrDocument, p.Name())
		}
		set[p.Name()] = p
	}
	return set, nil
}

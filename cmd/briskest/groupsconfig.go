package main

import (
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/groups"
	"github.com/briskest/briskest/registrar/policy"
)

// compileGroups is registrar.Config.CompileGroups.
func compileGroups(document []byte) (registrar.Grouping, error) {
	s, err := groups.Compile(document)
	if err != nil {
		return nil, err // a nil *groups.Set would be no nil Grouping
	}
	return s, nil
}

// groupProfiles are the profiles that groups may name: neither those that make CAs, nor the
// registrar's own and that of OCSP responders.
func groupProfiles(profiles map[string]*profile.Profile) map[string]registrar.Profile {
	out := make(map[string]registrar.Profile, len(profiles))
	for name, p := range profiles {
		if isCA, _ := p.Authority(); !isCA && name != ownProfile && name != registrar.ResponderProfile {
			out[name] = policy.Profile(p)
		}
	}
	return out
}

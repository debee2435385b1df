package keystore

// TokenHealth is how a token that this process has used is doing.
type TokenHealth struct {
	Token    string `json:"token"`          // what selects it, and the library
	Usable   bool   `json:"usable"`         // false while calls fail at once
	Failures int    `json:"failures"`       // in a row
	Last     string `json:"last,omitempty"` // error of them
	Sessions int    `json:"sessions"`       // open and idle
	Busy     int    `json:"busy"`           // calls under way
	Hung     int    `json:"hung"`           // calls of the library that passed their deadline and have not returned
	Limit    int    `json:"limit"`          // of sessions
}

// Tokens returns how each token is doing whose keys this process has opened. In
// a build without tokens there are none.
func Tokens() []TokenHealth { return tokens() }

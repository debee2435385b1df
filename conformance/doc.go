// Package conformance runs requirement checks against somebody's server: each
// [Check] is one sentence of an RFC with its section, and a [Report] says of
// each whether the target passed, failed or could not be asked.
//
// The checks themselves live in a folder per RFC, such as rfc7030. The package
// is a black box tester: of this module it imports only the protocol
// libraries, never a service or a certification authority.
package conformance

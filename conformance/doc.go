// Package conformance is the framework of the conformance suite: an acid test
// for anybody's EST or BRSKI implementation. A [Check] is one sentence of an
// RFC with its section; [Run] asks a target each check and returns a [Report],
// which writes itself as a table, as JSON, as JUnit XML or as one HTML page.
//
// The suite is a black box: of this module it imports the protocol libraries
// (est, brski, voucher) and codecs, never a service or a certification
// authority (docs/decisions/0028-conformance.md).
//
// # Where things are
//
//   - conformance: [Check], [Run], [Report], [Exclusions], recording
//   - conformance/wire: TLS connections, raw ClientHellos and HTTP/1.1 requests
//     sent byte for byte, all recorded; every role that is a client uses it
//   - conformance/forge: vouchers and requests that no library makes
//   - conformance/unkind: a server that is odd on purpose and the means to start
//     the peer that is a client against it; every role that is a client's uses it
//   - conformance/ROLE: a Target type for that role, and Checks(), the table of its
//     checks, a file per section: estserver and brskiregistrar ask servers; estclient
//     and brskipledge are served to by unkind
//   - conformance/conformancetest: for tests, runs each check against its
//     mutations
//   - conformance/catalogue: all checks of all roles, and the matrix
//     docs/conformance-matrix.md, made by go run ./conformance/matrix
//   - cmd/briskest/conform*.go: the commands
//
// # How to add a check
//
//  1. Find the row ids in the lists of requirements: a check names at least
//     one. Add an entry to the table of the file of its section:
//
//     {
//     ID: "RFC7030-4.1.3-1", Citation: "RFC 7030, Section 4.1.3", Level: conformance.Must,
//     Text:         "CA certificates come with status 200",
//     Requirements: []string{"EST-7030-4.1.3-01"},
//     Run:          runCACertsStatus,
//     },
//
//     IDs never change and are never given to another check. One check says
//     one thing: when the message cannot even be read, it skips with
//     [Skip]("... see RFC7030-4.1.3-3") and leaves the failing to the check
//     that is about reading. Skip also where the target lacks what the check
//     needs, such as credentials, so that nobody passes by refusing everything;
//     a check that expects a refusal has a control that succeeds.
//
//  2. Run returns nil to pass, [Skip] to skip, any other error to fail: what was
//     asked, what came, what was wanted. It ends when its context does, and
//     says what it left on the target with [Leave]. What goes through wire is
//     recorded; actors that are servers take [RecorderOf] and record themselves.
//
//  3. Add a mutation to the table of the role's tests: the reference actor with
//     one fault. `go test ./conformance/ROLE` fails while a check has none.
//     BRISKEST_MUTATIONS=all runs all of them against all checks, any other
//     text picks a tenth.
//
//  4. Run `go run ./conformance/matrix` and commit docs/conformance-matrix.md. What
//     no check covers has its reason in conformance/catalogue/uncovered.txt.
//
// A new role: a package with a Target and Checks() []conformance.Check[*Target],
// a line in catalogue.All, and a command that calls [Run].
package conformance

// Package attack holds tests only: it plays a hostile pledge, a hostile
// registrar, a hostile MASA, an EST client with credentials of its own and a
// local user against the services and the running program. What each of them
// can do, and which test shows what stops it, is in docs/threat-model.md.
package attack

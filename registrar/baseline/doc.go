// Package baseline configures devices after their enrollment: it makes a text of
// a group's baseline document for one device ([Maker]), signs it ([Sign]), serves
// it ([Handler]), and fetches and verifies it on the device ([Client], [Verify]).
// docs/baseline.md is for those who write documents and devices.
//
// Whose baseline a request is about, and what is on record of it, is decided by
// registrar.Service.
package baseline

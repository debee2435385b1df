// Package globalsign pins globalsign's estclient 1.0.6 for the tests of conformance/interop, which build it here. It
// is a module of its own so that the product's does not carry the client.
package globalsign

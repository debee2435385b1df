// Package globalsign pins globalsign's estclient 1.0.6 for the tests of conformance/interop, and its estserver for those
// of ca/estca, which build them here. It is a module of its own so that the product's does not carry them.
package globalsign

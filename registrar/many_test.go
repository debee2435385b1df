//go:build !race

package registrar_test

// many is how many devices a plan is made over: what the issue asks for.
const many = 100_000

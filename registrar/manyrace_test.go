//go:build race

package registrar_test

// many is how many devices a plan is made over, where each takes several times as long.
const many = 20_000

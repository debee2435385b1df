module github.com/briskest/briskest/voucher/voucherjws/peers

go 1.26.0

replace github.com/briskest/briskest => ../../..

require (
	github.com/briskest/briskest v0.0.0-00010101000000-000000000000
	github.com/go-jose/go-jose/v4 v4.1.8
)

require golang.org/x/crypto v0.59.0 // indirect

module github.com/briskest/briskest/internal/cms/peers

go 1.26.0

replace github.com/briskest/briskest => ../../..

require (
	github.com/briskest/briskest v0.0.0-00010101000000-000000000000
	github.com/fullsailor/pkcs7 v0.0.0-20190404230743-d7302db945fa
	go.mozilla.org/pkcs7 v0.10.0
)

require golang.org/x/crypto v0.59.0 // indirect

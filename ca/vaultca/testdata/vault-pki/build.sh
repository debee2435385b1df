#!/usr/bin/env bash
# build.sh DIR: builds vault-pki (main.go.txt) into DIR. The versions of what
# Vault stands on are those of its own go.mod and go.sum, which the module
# proxy's checksum database vouches for; its api and sdk, which it replaces by
# folders that no module holds, are the published ones.
set -euo pipefail
vault=v1.21.4
here=$(cd "$(dirname "$0")" && pwd)
out=$(mkdir -p "$1" && cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
source=$(go mod download -json "github.com/hashicorp/vault@$vault" | sed -n 's/^\t"Dir": "\(.*\)",\?$/\1/p')
sed -e 's#^module .*#module example.com/vault-pki#' -e '/^replace github.com\/hashicorp\/vault/d' "$source/go.mod" >go.mod
cp "$source/go.sum" go.sum
chmod u+w go.sum
cp "$here/main.go.txt" main.go
go mod edit -require "github.com/hashicorp/vault@$vault"
CGO_ENABLED=0 go build -mod=mod -ldflags '-s -w' -o "$out/vault-pki" .

#!/usr/bin/env bash
# build.sh DIR: builds vault-pki (main.go.txt) into DIR. The versions of what
# Vault stands on are those of its own go.mod and go.sum, which the module
# proxy's checksum database vouches for. Vault replaces its api and sdk by folders
# that no module holds: in their place come the published ones, and in sdk one
# signature is put back to what this Vault calls.
set -euo pipefail
vault=v1.21.4
here=$(cd "$(dirname "$0")" && pwd)
out=$(mkdir -p "$1" && cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
folder() { go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",\?$/\1/p'; }
source=$(folder "github.com/hashicorp/vault@$vault")
cp -r "$(folder github.com/hashicorp/vault/sdk@v0.21.0)" sdk
chmod -R u+w sdk
sed -i 's/ActivationFunc func(context.Context, \*logical.Request, string) error/ActivationFunc func(context.Context, *logical.Request) error/' sdk/framework/backend.go
sed -e 's#^module .*#module example.com/vault-pki#' -e '/^replace github.com\/hashicorp\/vault/d' "$source/go.mod" >go.mod
cp "$source/go.sum" go.sum
chmod u+w go.sum
cp "$here/main.go.txt" main.go
go mod edit -require "github.com/hashicorp/vault@$vault" -replace github.com/hashicorp/vault/sdk=./sdk
CGO_ENABLED=0 go build -mod=mod -ldflags '-s -w' -o "$out/vault-pki" .

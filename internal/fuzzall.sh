#!/usr/bin/env bash
# Runs every fuzz target of the module for the given time, one after another.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-20s}
count=0
while IFS=: read -r file name; do
	echo "fuzz $name ($(dirname "$file"), $time)"
	go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" -fuzzminimizetime 10x "./$(dirname "$file")"
	count=$((count + 1))
done < <(git grep -oE 'func Fuzz[A-Za-z0-9]+' -- '*_test.go' ':!*/peers/*' | sed 's/:func /:/')
echo "$count fuzz targets, $time each, none failed"

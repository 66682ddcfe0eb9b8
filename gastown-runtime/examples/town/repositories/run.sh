#!/bin/sh
# Runs every test. The gate of this repository: sh tests/run.sh
cd "$(dirname "$0")/.." || exit 2
failures=0
expect() { # name, wanted, got
    if [ "$2" = "$3" ]; then
        echo "ok    $1"
    else
        echo "FAIL  $1: expected '$2', got '$3'"
        failures=$((failures + 1))
    fi
}
for file in lib/*.sh tests/*.test; do
    . "./$file"
done
echo "$failures failed"
[ "$failures" -eq 0 ]

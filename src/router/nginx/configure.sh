#!/usr/bin/env bash
# Usage: configure.sh SOURCES OUTPUT...: runs the configure of nginx-dev's sources in a scratch folder, with the options
# of the nginx that it belongs to, and keeps the headers that it writes (the outputs, named after them).
set -euo pipefail
sources=$1
shift
if [ ! -x "$sources/configure" ]; then
    echo "configure.sh: $sources has no configure: install nginx-dev" >&2
    exit 1
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cp -r "$sources" "$scratch/src"
# shellcheck source=/dev/null
source "$sources/conf_flags"
if ! (cd "$scratch/src" && CC=cc ./configure --builddir="$scratch/objs" "${NGX_CONF_FLAGS[@]}" >"$scratch/log" 2>&1); then
    tail -n 20 "$scratch/log" >&2
    exit 1
fi
for output; do
    cp "$scratch/objs/$(basename "$output")" "$output"
done

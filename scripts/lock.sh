#!/bin/sh
# Makes requirements.txt, -dev, -bench and those of peers apart anew from pyproject.toml: every file
# that a machine with Python 3.11 or newer may install, with its hashes, and no word on where this
# machine fetched it. Called by `make lock`: lock.sh PYTHON
set -eu
python=$1
uv=$(command -v uv || true)
if [ -z "$uv" ]; then
    tools=$(mktemp -d)
    trap 'rm -rf "$tools"' EXIT
    "$python" -m venv "$tools"
    "$tools/bin/python" -m pip install --quiet --disable-pip-version-check uv
    uv=$tools/bin/uv
fi

compile() {
    output=$1
    shift
    "$uv" pip compile --quiet --universal --python-version 3.11 --upgrade --generate-hashes \
        --no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
        "$@" --output-file "$output"
}

compile requirements.txt pyproject.toml --group build
# One environment holds both: what the run file pins, the other may not pin otherwise.
compile requirements-dev.txt pyproject.toml --group dev --constraints requirements.txt
compile requirements-bench.txt pyproject.toml --group bench --constraints requirements.txt
# Peers in environments of their own: no pin is shared, nothing of ours is in them.
compile bench/litellm/requirements.txt --group litellm
compile bench/limiters/requirements.txt --group limiters

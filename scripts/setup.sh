#!/bin/sh
# Makes the virtual environment VENV if it is not there, installs the hashed FILE into it, and
# the project itself (editable) unless told `alone`. Called by the Makefile:
# setup.sh VENV PYTHON FILE [alone]
# Says in one line what is missing, and what to do about it.
set -eu
venv=$1 python=$2 file=$3
oldest="3.11"

fail() {
    echo "tidegate: $1" >&2
    exit 1
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

make_with_pip() {
    command -v "$python" >/dev/null 2>&1 ||
        fail "$python not found: install Python $oldest or newer (Debian: apt install python3 python3-venv), or name one with make PYTHON=..."
    is_new_enough "$python" ||
        fail "$python is $("$python" -c 'import sys; print(".".join(map(str, sys.version_info[:3])))' 2>/dev/null || echo unusable), but Python $oldest or newer is needed: name one with make PYTHON=python$oldest"
    "$python" -c 'import venv' 2>/dev/null ||
        fail "$python has no venv module: install it (Debian: apt install python3-venv)"
    if "$python" -c 'import ensurepip' 2>/dev/null; then
        "$python" -m venv --clear "$venv"
    # Debian keeps ensurepip in python3-venv; a pip outside can fill an environment as well.
    elif "$python" -m pip --python "$(command -v "$python")" --version >/dev/null 2>&1; then
        "$python" -m venv --clear --without-pip "$venv"
    else
        fail "$python has neither ensurepip nor a pip >= 22.3: install them (Debian: apt install python3-venv)"
    fi
}

install() {
    if command -v uv >/dev/null 2>&1; then
        uv pip install --quiet --python "$venv/bin/python" "$@"
    elif "$venv/bin/python" -c 'import pip' 2>/dev/null; then
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
    else
        "$python" -m pip --python "$venv/bin/python" install --quiet --disable-pip-version-check "$@"
    fi
}

if ! is_new_enough "$venv/bin/python"; then
    echo "tidegate: making $venv"
    if command -v uv >/dev/null 2>&1; then
        uv venv --quiet --clear --python ">=$oldest" "$venv"
    else
        make_with_pip
    fi
fi
echo "tidegate: installing $file into $venv"
install --require-hashes -r "$file"
[ "${4:-}" = alone ] || install --no-deps --no-build-isolation -e .

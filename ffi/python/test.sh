#!/usr/bin/env bash
# Installs the package in a virtual environment of its own and runs its tests there.
#   ffi/python/test.sh [PYTEST ARGUMENTS]     PYTHON: the interpreter (default python3)     PRODCON_PYTHON_VENV: the environment (default target/python-VERSION)
set -euo pipefail
cd "$(dirname "$0")"
python=${PYTHON:-python3}
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
venv=${PRODCON_PYTHON_VENV:-$PWD/target/python-$version}
"$python" -m venv "$venv"
pip=("$venv/bin/python" -m pip --disable-pip-version-check --quiet)
"${pip[@]}" install pytest numpy
# What some tests compare with or check by; they say that they were skipped if it cannot be had.
for package in adv_prodcon==0.1.14 mypy pyright faster-fifo; do
    "${pip[@]}" install "$package" || echo "some tests will be SKIPPED: $package could not be installed"
done
"${pip[@]}" install .
# The other languages' side of the interoperation.
if command -v cargo >/dev/null; then
    (cd ../.. && cargo build --release --quiet)
fi
# From elsewhere, so that the installed package is tested and not this directory.
cd "$venv"
exec "$venv/bin/python" -m pytest -c "$OLDPWD/pyproject.toml" --rootdir "$OLDPWD" -rs -p no:cacheprovider "$OLDPWD/tests" "$@"

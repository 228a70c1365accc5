#!/usr/bin/env bash
# Prints the path of a Python that runs the emulator of test/emulator: the installed one where it has the pinned moto,
# else a virtual environment in bin/emulator-venv, made on first use. Everything but the path goes to stderr.
#
#   PYTHON         the installed Python to look at (default: python3)
#   EMULATOR_VENV  where the virtual environment is or goes (default: bin/emulator-venv)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
requirements=$root/test/emulator/requirements.txt
venv=${EMULATOR_VENV:-$root/bin/emulator-venv}

say() { printf '%s\n' "$*" >&2; }

# The version in the line "moto[server]==X".
pinned=$(sed -n 's/^moto\[[^]]*\]==\([^ #]*\).*/\1/p' "$requirements")
[[ -n $pinned ]] || { say "$requirements pins no moto"; exit 1; }

# The moto version that an interpreter has, or nothing when it has none, or lacks what moto's server part needs.
# Reading the metadata takes a twentieth of the time that importing moto takes.
moto_version() {
	"$1" -c '
import importlib.metadata, importlib.util
if all(importlib.util.find_spec(m) for m in ("flask", "flask_cors", "antlr4")):
    print(importlib.metadata.version("moto"))' 2>/dev/null || true
}

python=$(command -v "${PYTHON:-python3}") || { say "The AWS emulator needs Python 3.10 or newer; ${PYTHON:-python3} is not on PATH."; exit 1; }
found=$(moto_version "$python")
if [[ $found == "$pinned" ]]; then
	# Behind a version manager's shim stands the interpreter itself; it starts faster and is what gets the signals.
	python=$("$python" -c 'import sys; print(sys.executable)')
	say "==> emulator: moto $pinned of $python"
	printf '%s\n' "$python"
	exit 0
fi

if [[ -x $venv/bin/python && $(moto_version "$venv/bin/python") == "$pinned" ]]; then
	say "==> emulator: moto $pinned of $venv"
	printf '%s\n' "$venv/bin/python"
	exit 0
fi

say "==> emulator: $python has ${found:+moto }${found:-no usable moto}; version $pinned is needed."
say "    Installing it into $venv (about 1 minute, 200 MB)."
rm -rf "$venv"
"$python" -m venv "$venv" >&2
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements" >&2
if [[ $(moto_version "$venv/bin/python") != "$pinned" ]]; then
	say "The virtual environment $venv was made but has no moto $pinned; remove it and try again."
	exit 1
fi
printf '%s\n' "$venv/bin/python"

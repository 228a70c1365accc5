#!/usr/bin/env bash
# Tests which Python hack/emulator-python.sh chooses, with stand-ins for python3 that report a moto version, make
# "virtual environments" and record what they were asked. No network is used.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
pinned=$(sed -n 's/^moto\[[^]]*\]==\([^ #]*\).*/\1/p' "$here/../test/emulator/requirements.txt")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0

# stand_in DIR MOTO INSTALLS writes DIR/bin/python3. It has moto MOTO (may be empty); a virtual environment made with it
# has no moto until pip has run in it, and then INSTALLS.
stand_in() {
	mkdir -p "$1/bin"
	printf '%s' "$2" >"$1/moto"
	cat >"$1/bin/python3" <<-SCRIPT
		#!/usr/bin/env bash
		home=\$(cd "\$(dirname "\$0")/.." && pwd)
		case "\$1 \${2:-}" in
		"-m venv") echo "venv \$3" >>"$scratch/calls"; mkdir -p "\$3/bin"; cp "\$0" "\$3/bin/python" ;;
		"-m pip") echo "pip \${*: -1}" >>"$scratch/calls"; printf '%s' "$3" >"\$home/moto" ;;
		"-c import sys; print"*) echo "\$0" ;;
		"-c "*) cat "\$home/moto" 2>/dev/null ;;
		esac
	SCRIPT
	chmod +x "$1/bin/python3"
}

# choose NAME runs the script as a machine whose only python3 is the stand-in NAME.
choose() {
	: >"$scratch/calls"
	env -u PYTHON PATH="$scratch/$1/bin:/usr/bin:/bin" EMULATOR_VENV="$scratch/$1/venv" \
		"$here/emulator-python.sh" 2>"$scratch/stderr" || echo "exit $?"
}

expect() { # SENTENCE WANT GOT
	if [[ $2 == "$3" ]]; then
		echo "ok    $1"
		return
	fi
	printf 'FAIL  %s\n      want: %s\n      got:  %s\n' "$1" "$2" "$3"
	failed=1
}

stand_in "$scratch/fits" "$pinned" unused
expect "an installed moto of the pinned version is used" "$scratch/fits/bin/python3" "$(choose fits)"
expect "  and nothing is installed" "" "$(cat "$scratch/calls")"

stand_in "$scratch/older" 5.0.0 "$pinned"
expect "another version leads to a virtual environment" "$scratch/older/venv/bin/python" "$(choose older)"
expect "  made and filled from the pins" \
	"venv $scratch/older/venv pip $(cd "$here/.." && pwd)/test/emulator/requirements.txt" "$(paste -sd' ' "$scratch/calls")"
expect "the second time it is used as it is" "$scratch/older/venv/bin/python" "$(choose older)"
expect "  without a further call" "" "$(cat "$scratch/calls")"
printf 5.0.0 >"$scratch/older/venv/moto"
expect "a virtual environment of another version is made anew" "$scratch/older/venv/bin/python" "$(choose older)"
expect "  in two calls" 2 "$(wc -l <"$scratch/calls" | tr -d ' ')"

stand_in "$scratch/none" "" "$pinned"
expect "no moto at all leads to a virtual environment" "$scratch/none/venv/bin/python" "$(choose none)"

stand_in "$scratch/wrong" 5.0.0 5.0.1
expect "an installation that brings another version is an error" "exit 1" "$(choose wrong)"
expect "  which says so" 1 "$(grep -c "has no moto $pinned" "$scratch/stderr")"

mkdir -p "$scratch/empty/bin"
for tool in bash dirname sed env; do ln -s "$(command -v "$tool")" "$scratch/empty/bin/$tool"; done
got=$(env -u PYTHON PATH="$scratch/empty/bin" "$here/emulator-python.sh" 2>"$scratch/stderr" || echo "exit $?")
expect "no Python is an error" "exit 1" "$got"
expect "  which says what is needed" 1 "$(grep -c "needs Python 3" "$scratch/stderr")"

exit "$failed"

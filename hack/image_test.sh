#!/usr/bin/env bash
# Tests what the Dockerfile copies into an image without a C library or a shell: bin/plumbline, as `make build` leaves
# it here and there. An image itself is not built, which needs a container engine.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
binary=$root/bin/plumbline
failed=0

expect() { # SENTENCE COMMAND...
	local sentence=$1
	shift
	if "$@" >/dev/null 2>&1; then
		echo "ok    $sentence"
	else
		echo "FAIL  $sentence"
		failed=1
	fi
}

# Without environment and with an empty root directory, as near as this machine lets us to an image from scratch.
runs_alone() {
	local empty
	empty=$(mktemp -d)
	cp "$binary" "$empty/plumbline"
	if [[ $(id -u) == 0 ]] && chroot "$empty" /plumbline --help; then
		rm -rf "$empty"
		return 0
	fi
	rm -f "$empty/plumbline"
	rmdir "$empty"
	[[ $(id -u) != 0 ]] && env -i "$binary" --help
}

is_static() { # the linker's record, and on Linux the absence of a program interpreter
	go version -m "$binary" | grep -q 'CGO_ENABLED=0' || return 1
	! command -v ldd >/dev/null || ! ldd "$binary" 2>/dev/null | grep -q '=>'
}

expect "the Dockerfile builds with the target that builds here" grep -q 'RUN make build' "$root/Dockerfile"
expect "the last stage starts from nothing" grep -qx 'FROM scratch' "$root/Dockerfile"
expect "it runs as a user given by number, not root" grep -Eqx 'USER [1-9][0-9]*:[1-9][0-9]*' "$root/Dockerfile"
expect "the binary is static" is_static
expect "it runs without files and environment" runs_alone

# What .dockerignore leaves out must not be missing: the packages the binary is made of lie in the folders let in.
outside=$(cd "$root" && go list -deps -f '{{if .Module}}{{if .Module.Main}}{{.Dir}}{{end}}{{end}}' . |
	sed "s|^$root||" | grep -Ev '^(/api/|/controllers$|/controllers/|/config/crd$|$)' || true)
expect "every package of the binary is in the build context" test -z "$outside"
[[ -z $outside ]] || printf '      left out by .dockerignore: %s\n' $outside

exit "$failed"

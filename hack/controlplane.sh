#!/usr/bin/env bash
# Makes the control plane of the tests and the demo ready: kube-apiserver, etcd and kubectl, built from the module in
# hack/controlplane into bin/k8s. Prints the directory that holds them as its only line on stdout.
#
# KUBEBUILDER_ASSETS, when set, names a directory that already holds them; then nothing is built.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
module=$root/hack/controlplane
assets=$root/bin/k8s
binaries=(kube-apiserver etcd kubectl)

say() { printf '%s\n' "$*" >&2; }

if [[ -n ${KUBEBUILDER_ASSETS:-} && $KUBEBUILDER_ASSETS != "$assets" ]]; then
	for binary in "${binaries[@]}"; do
		[[ -x $KUBEBUILDER_ASSETS/$binary ]] && continue
		say "KUBEBUILDER_ASSETS is $KUBEBUILDER_ASSETS, which holds no $binary. Unset it to have the three built here."
		exit 1
	done
	say "==> control plane: the one in KUBEBUILDER_ASSETS ($KUBEBUILDER_ASSETS)"
	printf '%s\n' "$KUBEBUILDER_ASSETS"
	exit 0
fi

# Whatever decides what the binaries are: the sources, the pinned versions, this script and the compiler.
fingerprint() {
	(cd "$module" && cat "$root/hack/controlplane.sh" go.mod go.sum */*.go && go env GOVERSION GOOS GOARCH) | git hash-object --stdin
}

ready() {
	local binary
	for binary in "${binaries[@]}"; do [[ -x $assets/$binary ]] || return 1; done
	[[ $(cat "$assets/.stamp" 2>/dev/null) == "$want" ]]
}

build() {
	local version started=$SECONDS next=$assets.next
	version=$(cd "$module" && go list -m -f '{{.Version}}' k8s.io/kubernetes)
	say "==> control plane: building kube-apiserver and kubectl $version and etcd from Go modules into bin/k8s."
	say "    The first build takes 3 to 8 minutes on 2 cores and fills 1 GB of caches; afterwards it is skipped."
	rm -rf "$next" && mkdir -p "$next"
	local set=k8s.io/component-base/version
	local -a ldflags=(-s -w
		"-X $set.gitVersion=$version" "-X $set.gitMajor=$(cut -d. -f1 <<<"${version#v}")"
		"-X $set.gitMinor=$(cut -d. -f2 <<<"$version")" "-X $set.gitTreeState=clean")
	(cd "$module" && CGO_ENABLED=0 go build -trimpath -ldflags "${ldflags[*]}" -o "$next/" ./kube-apiserver ./etcd ./kubectl) >&2
	# Each binary is replaced by a rename, so that a server still running from the old one is not disturbed.
	mkdir -p "$assets"
	local binary
	for binary in "${binaries[@]}"; do mv -f "$next/$binary" "$assets/$binary"; done
	rmdir "$next"
	printf '%s\n' "$want" >"$assets/.stamp"
	say "==> control plane: built in $((SECONDS - started)) s"
}

want=$(fingerprint)
if ready; then
	say "==> control plane: ready in bin/k8s"
else
	# Two builds at once would take turns at the same files; where flock exists, the second waits and finds it done.
	mkdir -p "$root/bin"
	if command -v flock >/dev/null; then
		exec 9>"$root/bin/.controlplane.lock"
		flock 9
	fi
	ready || build
fi
printf '%s\n' "$assets"

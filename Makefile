# Everything a developer calls. `make help` lists the targets; a line "target: ## text" below is one entry of that list.
#
# Needed on the machine: Go, make, git, bash and Python 3. What else the targets need, they build or install, pinned,
# into bin/.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# The steps of test and verify stand in order, and each keeps all cores busy by itself.
.NOTPARALLEL:

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# Flags for every `go test`, for example GOTESTFLAGS='-race -run TestPlan'.
GOTESTFLAGS ?=
# Flags for the end-to-end tests, for example E2EFLAGS='-ginkgo.focus=exception'.
E2EFLAGS ?=
# Flags of the bench, for example BENCHFLAGS='--sizes 100,1000 --no-docs'.
BENCHFLAGS ?=
# Where kube-apiserver, etcd and kubectl are. When set from outside, nothing is built.
export KUBEBUILDER_ASSETS := $(abspath $(or $(KUBEBUILDER_ASSETS),bin/k8s))
# The kubectl of install and deploy: the installed one, else the one that `make controlplane` builds.
KUBECTL ?= $(or $(shell command -v kubectl 2>/dev/null),$(KUBEBUILDER_ASSETS)/kubectl)
# Flags of the manager for `make run`, for example ARGS='--allow-writes'.
ARGS ?=

CONTROLLER_GEN := bin/controller-gen
GOLANGCI_LINT := bin/golangci-lint
# What generate and manifests write; verify wants no uncommitted file there.
GENERATED := api config docs

say = printf '\n==> %s\n'

##@ Everyday

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## "; print "Usage: make TARGET" } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: ## Build bin/plumbline, a static binary
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)" -o bin/plumbline .

.PHONY: demo
demo: controlplane emulator ## Find and repair drift in an emulated organization, about 2 minutes once built (KEEP=1 leaves it running)
	@$(say) "demo: building the manager (1 to 3 minutes the first time, seconds later)"
	@$(MAKE) build
	@go run ./hack/demo

.PHONY: generate
generate: $(CONTROLLER_GEN) ## Write deepcopy code, docs/controls.md, config/iam, config/events and samples from the code, then the manifests
	$(CONTROLLER_GEN) object paths=./api/...
	@if [ -d hack/generate ]; then echo "go run ./hack/generate"; go run ./hack/generate; fi
	@$(MAKE) manifests

.PHONY: manifests
manifests: $(CONTROLLER_GEN) ## Write the CRDs and the manager's RBAC role from the code
	$(CONTROLLER_GEN) crd paths=./api/... output:crd:dir=config/crd/bases
	$(CONTROLLER_GEN) rbac:roleName=plumbline-manager paths=./controllers output:rbac:dir=config/rbac

##@ Checks

.PHONY: test
test: controlplane emulator ## Run every test: vet, unit, envtest, scripts, emulator, end to end
	@$(say) "vet (about 2 minutes the first time, seconds later)"
	@go vet ./...
	@$(MAKE) test-unit bench-short test-emulator build test-scripts test-e2e
	@$(say) "every test passed"

.PHONY: test-unit
test-unit: controlplane emulator ## Run the Go tests but the end-to-end ones
	@$(say) "unit tests and tests against a real API server (about 3 minutes)"
	@go test -count=1 $(GOTESTFLAGS) $$(go list ./... | grep -v '/test/e2e')

.PHONY: test-emulator
test-emulator: emulator ## Run the Python tests of the emulator's extension
	@$(say) "tests of the AWS emulator's extension (about 1 minute)"
	@python=$$(hack/emulator-python.sh 2>/dev/null); \
	$$python -m unittest discover -s test/emulator -p '*_test.py' -t .

.PHONY: test-scripts
test-scripts: build ## Run the tests of the scripts and of what goes into the image
	@$(say) "tests of scripts and image (seconds)"
	@hack/emulator-python_test.sh
	@hack/image_test.sh

.PHONY: test-e2e
test-e2e: controlplane emulator build ## Run the end-to-end tests: the binary, a real API server, kubectl and the emulator (E2EFLAGS)
	@$(say) "end-to-end tests (about 12 minutes)"
	@go test -v -count=1 -timeout 40m $(GOTESTFLAGS) ./test/e2e/... -ginkgo.label-filter='!chaos' $(E2EFLAGS)

.PHONY: test-chaos
test-chaos: controlplane emulator build ## Run the fault tests in full: a minute of throttling, 200 kills, a storm over 300 accounts (PLUMBLINE_CHAOS_*)
	@$(say) "a storm over one manager in process (about 1 minute)"
	@PLUMBLINE_CHAOS_ACCOUNTS=$${PLUMBLINE_CHAOS_ACCOUNTS:-300} go test -v -count=1 $(GOTESTFLAGS) ./controllers -run 'Storm|Jumps|Conflict|Panics|IsGone'
	@$(say) "faults over the wire (about 7 minutes)"
	@PLUMBLINE_CHAOS_KILLS=$${PLUMBLINE_CHAOS_KILLS:-200} PLUMBLINE_CHAOS_SECONDS=$${PLUMBLINE_CHAOS_SECONDS:-60} \
	go test -v -count=1 -timeout 40m $(GOTESTFLAGS) ./test/e2e/... -ginkgo.v -ginkgo.label-filter=fault $(E2EFLAGS)

.PHONY: bench
bench: controlplane build ## Measure 100, 1,000 and 5,000 accounts and write docs/benchmarks.md, about an hour (BENCHFLAGS='--sizes 100')
	@$(say) "bench (about an hour on 2 quiet cores; results are kept, BENCHFLAGS=--resume goes on with them)"
	@go run ./test/bench $(BENCHFLAGS)

.PHONY: bench-short
bench-short: controlplane ## Count the AWS requests of 100 accounts and fail where they have grown
	@$(say) "requests of 100 accounts (about 20 seconds)"
	@go run ./test/bench --short

.PHONY: lint
lint: $(GOLANGCI_LINT) ## Run golangci-lint: import direction, lengths, errors, API conventions
	$(GOLANGCI_LINT) run ./...

.PHONY: verify
verify: ## Check that generated files, formatting, lint and go.mod are current; ends in a clean git diff
	@$(say) "generating (about 1 minute)"
	@$(MAKE) generate
	@$(say) "gofmt"
	@unformatted=$$(git ls-files -co --exclude-standard '*.go' | xargs gofmt -l); \
	if [ -n "$$unformatted" ]; then echo "gofmt -w would change:"; echo "$$unformatted"; exit 1; fi
	@$(say) "vet"
	@go vet ./...
	@$(say) "lint (the first time builds golangci-lint: about 2 minutes)"
	@$(MAKE) lint
	@$(say) "go.mod"
	@go mod tidy -diff
	@$(say) "clean tree"
	@git --no-pager diff --exit-code
	@untracked=$$(git ls-files -o --exclude-standard -- $(GENERATED)); \
	if [ -n "$$untracked" ]; then echo "generated but not committed:"; echo "$$untracked"; exit 1; fi
	@$(say) "verified"

##@ Cluster

.PHONY: run
run: ## Run the manager from source against the current kubeconfig (ARGS='--allow-writes')
	go run . $(ARGS)

.PHONY: install
install: ## Apply the CRDs to the current cluster
	$(KUBECTL) apply --server-side -f config/crd/bases

.PHONY: deploy
deploy: ## Apply everything to the current cluster: CRDs, RBAC, admission policy, manager
	$(KUBECTL) apply --server-side -k config/default

##@ What the others stand on

.PHONY: controlplane
controlplane: ## Make kube-apiserver, etcd and kubectl ready in bin/k8s (KUBEBUILDER_ASSETS: use those there)
	@hack/controlplane.sh >/dev/null

.PHONY: emulator
emulator: ## Make the AWS emulator's Python ready (PYTHON: the one to look at first)
	@hack/emulator-python.sh >/dev/null

.PHONY: tools
tools: $(CONTROLLER_GEN) $(GOLANGCI_LINT) ## Build controller-gen and golangci-lint into bin/

.PHONY: clean
clean: ## Remove bin/
	rm -rf bin

$(CONTROLLER_GEN): hack/tools/go.mod hack/tools/go.sum
	@$(say) "building controller-gen (about 30 seconds the first time)"
	@cd hack/tools && CGO_ENABLED=0 go build -trimpath -o ../../$@ sigs.k8s.io/controller-tools/cmd/controller-gen
	@touch $@

$(GOLANGCI_LINT): hack/tools/go.mod hack/tools/go.sum hack/tools/golangci-lint/main.go
	@$(say) "building golangci-lint (about 2 minutes the first time)"
	@cd hack/tools && CGO_ENABLED=0 go build -trimpath -o ../../$@ ./golangci-lint
	@touch $@

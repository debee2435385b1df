# The two that matter: `make run` onboards a device on this machine, `make
# test` installs what the tests need and passes them all.
GO      ?= go
BIN     := bin
LDFLAGS := -s -w
export CGO_ENABLED ?= 1
SHELL   := /bin/bash
.SHELLFLAGS := -o pipefail -c

.PHONY: run build build-pkcs11 peers test-peers test test-only requirements tools check lint fuzz soak sizes deb clean

run:
	$(GO) run ./cmd/briskest quickstart --once

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/briskest ./cmd/briskest-pledge

# The build with keys in PKCS#11 tokens: the same programs, with cgo.
build-pkcs11:
	CGO_ENABLED=1 $(GO) build -tags pkcs11 -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/pkcs11/ ./cmd/briskest ./cmd/briskest-pledge

# Debian packages the tests speak to: a C compiler for the race detector and
# the build for tokens, a token, other people's EST clients
# and CMS readers, and the RADIUS server and MQTT broker of docs/examples.
PACKAGES := gcc libc6-dev openssl curl softhsm2 opensc libnss3 libnss3-tools p11-kit p11-kit-modules strongswan-pki libstrongswan-standard-plugins libstrongswan-extra-plugins \
	default-jre-headless libbcpkix-java libbctls-java freeradius eapoltest mosquitto mosquitto-clients nats-server
SUDO     := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

tools:
	@missing=$$(dpkg-query -W -f '$${db:Status-Status} $${Package}\n' $(PACKAGES) 2>&1 | grep -v '^installed ' || true); \
	if [ -n "$$missing" ]; then \
		$(SUDO) apt-get update -qq && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $(PACKAGES) >/dev/null; \
	fi

# Other people's CAs, built from their Go modules into bin/peers: step-ca, and
# HashiCorp Vault's server with its PKI alone. It takes an hour on two cores and
# downloads 3 GB, so `make test` does without them and skips what needs them.
peers:
	GOBIN=$(CURDIR)/$(BIN)/peers CGO_ENABLED=0 $(GO) install -ldflags '$(LDFLAGS)' github.com/smallstep/certificates/cmd/step-ca@v0.30.2
	./ca/vaultca/testdata/vault-pki/build.sh $(BIN)/peers

# The tests that speak to them. BRISKEST_PEERS=1 turns a skip into a failure.
test-peers:
	BRISKEST_PEERS=1 $(GO) test -race -count=1 -v -run Peer ./ca/stepca ./ca/vaultca ./cmd/briskest

# Which tenth of the mutations of conformance checks is run: the commit says.
MUTATIONS := $(shell git rev-parse --short HEAD 2>/dev/null)

# BRISKEST_REQUIRE=1 turns a skip for a missing program into a failure, and
# testreport every other skip but those for vectors and for peers.
# `check` has vetted everything, and no test reads what debuggers read: that is a
# good part of linking seventy programs.
TEST := BRISKEST_REQUIRE=1 BRISKEST_MUTATIONS=$(MUTATIONS) $(GO) test -race -vet=off '-ldflags=$(LDFLAGS)' -timeout 14m -json ./...

# What only the build for tokens has: its tests run in that build too.
TOKENS := ./internal/keystore ./internal/cryptoki

# What internal/testreport saw, for internal/requirements.
RESULTS      := $(CURDIR)/$(BIN)/results.txt
REPORT       := $(CURDIR)/$(BIN)/testreport -results $(RESULTS)
SPEC         := $(BRISKEST_VECTORS)/../spec
requirements  = $(GO) run ./internal/requirements -list $(1) -results $(RESULTS) $(if $(wildcard $(SPEC)/$(1)-requirements.csv),-csv $(SPEC)/$(1)-requirements.csv) $(2)

test: test-only
	@if [ -n "$(BRISKEST_VECTORS)" ]; then $(call requirements,est,-check) && $(call requirements,brski,-check); fi

test-only: tools check
	$(GO) build -o $(BIN)/testreport ./internal/testreport
	@rm -f $(RESULTS)
	$(TEST) | $(REPORT)
	BRISKEST_REQUIRE=1 CGO_ENABLED=1 $(GO) test -race -tags pkcs11 -timeout 14m -json $(TOKENS) | $(REPORT)
	cd internal/cms/peers && $(TEST) | $(REPORT)
	cd voucher/voucherjws/peers && $(TEST) | $(REPORT)

# docs/conformance-est.md and -brski.md: which requirement of the specifications
# is held by which test, from a run of all tests. `make test` fails when it is stale, where
# the vectors are there too: without them some tests skip.
requirements: test-only
	$(call requirements,est)
	$(call requirements,brski)

check:
	@fmt=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$fmt" ]; then echo "gofmt would change: $$fmt"; exit 1; fi
	$(GO) vet ./...
	CGO_ENABLED=1 $(GO) vet -tags pkcs11 $(TOKENS)

# The linters of .golangci.yml, at pinned versions, into bin/.
lint:
	GOBIN=$(CURDIR)/$(BIN) $(GO) install honnef.co/go/tools/cmd/staticcheck@v0.7.0
	$(BIN)/staticcheck ./...

fuzz:
	./internal/fuzzall.sh 20s

soak:
	BRISKEST_REQUIRE=1 BRISKEST_SOAK=1 $(GO) test -race -timeout 60m -count=1 -v -run 'Kill|Soak|Storm' ./...
	BRISKEST_MUTATIONS=all $(GO) test -race -timeout 60m -count=1 -run 'BeenSeenToFail' ./conformance/...
	$(MAKE) fuzz

# Sizes of both programs for both platforms, and the idle registrar's memory.
sizes:
	@for arch in amd64 arm64; do \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$arch $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/linux-$$arch/ ./cmd/briskest ./cmd/briskest-pledge || exit 1; \
		for p in briskest briskest-pledge; do printf 'linux/%s %-16s %6.1f MB\n' $$arch $$p $$(stat -c %s $(BIN)/linux-$$arch/$$p | awk '{print $$1/1e6}'); done; \
	done
	@./internal/idle.sh $(BIN)/linux-$$($(GO) env GOHOSTARCH)/briskest

# A Debian package of the default build, bin/briskest_VERSION_ARCH.deb, with units for systemd.
VERSION ?= 0.0.0~$(shell git log -1 --format=%cd.%h --date=format:%Y%m%d)
DEBARCH ?= $(shell $(GO) env GOHOSTARCH)
deb:
	CGO_ENABLED=0 GOOS=linux GOARCH=$(DEBARCH) $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/deb/ ./cmd/briskest ./cmd/briskest-pledge
	GOBIN=$(CURDIR)/$(BIN) CGO_ENABLED=0 $(GO) install github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.44.1
	ARCH=$(DEBARCH) VERSION=$(VERSION) $(BIN)/nfpm package --config internal/packaging/nfpm.yaml --packager deb --target $(BIN)/
	dpkg-deb --info $(BIN)/briskest_$(VERSION)_$(DEBARCH).deb

clean:
	rm -rf $(BIN)

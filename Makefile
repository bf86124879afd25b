# lsrun: `make demo` and `make test` do all of their own set-up.

GO      ?= go
BUILD   := build
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)

.PHONY: all build setup demo test race check-long bench static release clean

all: build

build: setup
	$(GO) build -o $(BUILD)/lsrun ./cmd/lsrun

# Everything that Go's modules do not bring.
setup:
	@sh .ci/setup

demo: build
	$(BUILD)/lsrun demo demo

# Every test; the packages without cgo once more as a CPU-only cross-check.
test: setup
	$(GO) vet ./...
	CGO_ENABLED=0 $(GO) test $$($(GO) list ./... | grep -v -e lsrun/io/h5 -e lsrun/cmd)
	$(GO) test ./io/h5 ./cmd/...

# Checks that take longer than a test may: all kernels, the race detector, kill tests.
check-long: setup
	$(GO) test -race ./shard/... ./io/... ./nn/cpu/... ./nn/ref/...
	LSRUN_LONG=1 $(GO) test -count=1 -timeout=60m ./...

# A fully static, CPU-only binary: runs on any Linux of this architecture, but can load no GPU driver.
STATIC_LIBS := -lhdf5_hl -lhdf5 -lsz -laec -lz -lm -ldl -lpthread
static: setup
	CGO_LDFLAGS="$(STATIC_LIBS)" $(GO) build -tags netgo,osusergo -ldflags '-linkmode external -extldflags "-static"' -o $(BUILD)/lsrun-static ./cmd/lsrun
	@echo "$(BUILD)/lsrun-static: fully static, CPU only (a static program cannot load a GPU driver; make release can)"

# libhdf5 inside, glibc dynamic: what a cluster wants.
release: setup
	CGO_LDFLAGS="-Wl,-Bstatic -lhdf5_hl -lhdf5 -lsz -laec -lz -Wl,-Bdynamic -lm -ldl -lpthread" $(GO) build -ldflags '-linkmode external -s -w' -o $(BUILD)/lsrun-release ./cmd/lsrun
	@echo "$(BUILD)/lsrun-release: libhdf5 inside, needs only glibc"

clean:
	rm -rf $(BUILD) demo

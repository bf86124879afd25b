# lsrun: `make demo` and `make test` do all of their own set-up.

GO      ?= go
BUILD   := build

.PHONY: all build setup setup-test demo test check-long bench bench-engines bench-hessian bench-training bench-program static release clean

all: build

build: setup
	$(GO) build -o $(BUILD)/lsrun ./cmd/lsrun

# Everything that Go's modules do not bring.
setup:
	@sh .ci/setup

setup-test:
	@sh .ci/setup test

demo: build
	$(BUILD)/lsrun demo demo

# Every test; the packages without cgo once more as a CPU-only cross-check.
test: setup-test
	$(GO) vet ./...
	$(GO) vet -tags card ./nn/cuda
	$(GO) vet -tags torch ./cmd/lsrun
	$(GO) vet -tags vtk ./io/vtk
	CGO_ENABLED=0 $(GO) test -timeout=19m $$($(GO) list ./... | grep -v -e lsrun/io/h5 -e lsrun/cmd)
	$(GO) test -timeout=19m ./io/h5 ./cmd/...

# What takes longer than a test may: the race detector, the plain kernel and the reference's
# derivatives on every network, storms on a cluster, runs of 40,000 points, VTK's reader, a page's pictures a second, trained networks
# beside PyTorch's, and every fuzz target for a while.
FUZZTIME := 20s
check-long: test
	@sh .ci/setup long
	$(GO) test -tags vtk -count=1 -run TestVTKReads ./io/vtk
	LSRUN_LONG=1 $(GO) test -count=1 -run TestALargeSurfaceTurnsFluently ./io/web
	$(GO) test -race -timeout=60m ./shard/... ./hessian ./io/... ./nn/cpu/... ./nn/ref/... ./slurm/...
	LSRUN_LONG=1 $(GO) test -count=1 -timeout=60m -run 'TestWorkersEndTogether|TestManyWorkers' ./shard
	LSRUN_LONG=1 $(GO) test -p 1 -count=1 -timeout=120m -run 'TestLogitsAndLosses|TestTheMeanLoss|TestDerivatives' ./nn/cpu ./nn/cuda ./nn/ref
	LSRUN_LONG=1 $(GO) test -count=1 -timeout=120m -run 'AtAnyCall|DeadMachine|PowerFails|Damaged' ./cmd/lsrun
	LSRUN_LONG=1 $(GO) test -count=1 -timeout=120m -run 'TestRunsOnACluster.*/storm|TestLargeRuns' ./cmd/lsrun
	$(GO) test -tags torch -count=1 -timeout=120m -run 'AsAccurateAsPyTorchs' ./cmd/lsrun
	@for target in $$(grep -rhoE --include=*_test.go --exclude-dir=gen '^func Fuzz[A-Za-z0-9]+' . | sed 's/func //'); do \
		package=$$(dirname $$(grep -rlE "^func $$target\(" --include=*_test.go .)); \
		echo "$$package $$target"; \
		$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x $$package || exit 1; \
	done

# lsrun beside others on this machine: images a second beside PyTorch and ONNX Runtime, as build/bench.md, an hour if nothing
# is left out; eigenvalues of Hessians beside PyTorch and SciPy, as build/bench-hessian.md; and training beside PyTorch, as build/bench-training.md.
# BENCH='-nets resnet20 -threads 2 -rounds 2' makes the first short; -all goes through the zoo. HESSIAN='-nets resnet20' makes the second short, TRAINING='-threads 2' the third.
bench: bench-engines bench-hessian bench-training

bench-engines: bench-program
	$(BUILD)/lsrun-bench $(BENCH)

bench-hessian: bench-program
	$(BUILD)/lsrun-bench -hessian $(HESSIAN)

bench-training: bench-program
	$(BUILD)/lsrun-bench -train $(TRAINING)

bench-program:
	@sh bench/setup $(BUILD)/bench
	$(GO) build -o $(BUILD)/lsrun-bench ./bench

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

package main

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

//go:embed torch_contender.py
var torchProgram []byte

//go:embed ort_contender.mjs
var onnxProgram []byte

// debian is the Python that apt installs PyTorch for.
const debian = "/usr/bin/python3"

// tunedMalloc keeps what was freed, so that a batch does not fault its pages in anew: jemalloc where
// it is installed, else glibc's own. (The loader goes on without a library that it cannot find.)
var tunedMalloc = []string{
	"LD_PRELOAD=libjemalloc.so.2", "MALLOC_CONF=dirty_decay_ms:-1,muzzy_decay_ms:-1,oversize_threshold:0",
	"MALLOC_MMAP_MAX_=0", "MALLOC_TRIM_THRESHOLD_=1099511627776", "MALLOC_TOP_PAD_=67108864",
}

// way is a way to run PyTorch.
type way struct {
	name    string
	variant string // as torch_contender.py knows it
	sizes   []int  // batches to choose from
	paper   bool   // as the paper's code does
}

var (
	batches = []int{32, 64, 128, 256, 512}
	ways    = []way{
		{"eager,", "eager", []int{128}, true},
		{"eager, its best", "eager", batches, false},
		{"channels_last, its best", "channels_last", batches, false},
		{"optimize_for_inference, its best", "optimized", batches, false},
	}
)

// version is what a child says of itself and of the libraries that it found.
type version struct {
	Version   string
	Libraries []string
}

// malloc names the allocator where it is not the C library's as it comes.
func (v version) malloc(env []string) string {
	for _, l := range v.Libraries {
		if strings.Contains(l, "jemalloc") {
			return " jemalloc"
		}
	}
	if len(env) > 0 {
		return " glibc's malloc tuned"
	}
	return ""
}

// pacemaker is a stopwatch with weights of its own: PROGRAM NET IMAGES THREADS ROUNDS.
func pacemaker(program string, n *network, threads int) *contender {
	run := func(ctx context.Context, t turn) (time.Duration, error) {
		const rounds = 2 // the first finds its memory untouched
		out, err := exec.CommandContext(ctx, program, n.graph.Name, strconv.Itoa(t.Images*t.Passes), strconv.Itoa(threads), strconv.Itoa(rounds)).Output()
		if err != nil {
			return 0, err
		}
		rate, err := lastRate(out)
		return time.Duration(float64(t.Images*t.Passes) / rate * float64(time.Second)), err
	}
	return &contender{name: "pacer", group: pacer, run: run}
}

// lastRate reads "NAME T threads: N images/s" from the last line.
func lastRate(out []byte) (rate float64, err error) {
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		_, said, _ := strings.Cut(lines.Text(), ": ")
		if _, err := fmt.Sscanf(said, "%f images/s", &rate); err != nil {
			return 0, fmt.Errorf("it says %q: %w", lines.Text(), err)
		}
	}
	if !(rate > 0) {
		return 0, fmt.Errorf("it says %q", out)
	}
	return rate, nil
}

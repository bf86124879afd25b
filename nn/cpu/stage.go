package cpu

import (
	"math"
	"os"
	"strconv"
	"strings"
)

// secondCache is the size of a core's second cache, in bytes; a usual size where the machine does not
// tell. It decides how much work is done at a time, never what is computed.
func secondCache() int {
	for _, index := range []string{"1", "2", "3"} {
		read := func(name string) string {
			text, _ := os.ReadFile("/sys/devices/system/cpu/cpu0/cache/index" + index + "/" + name)
			return strings.TrimSpace(string(text))
		}
		kilobytes, err := strconv.Atoi(strings.TrimSuffix(read("size"), "K"))
		if err == nil && read("level") == "2" {
			return kilobytes << 10
		}
	}
	return 512 << 10
}

// Limits of a micro-batch.
const (
	mostImages = 96
	arenaBytes = 32 << 20
	// fewRows is how many rows of a product at least share weights that the caches do not hold.
	fewRows = 48
)

// stages divides the steps where pictures become smaller, so that later ones can take more images at a time
// without leaving the second cache. A step that makes pictures smaller belongs to the stage before, or, if it is a product, whose weights more
// images share then, to the one after.
func (p *program) stages() {
	p.ends = []int{0}
	area := math.MaxInt
	for i, s := range p.steps {
		out, in := s.values()
		if _, ok := s.(multiplier); ok {
			in = []*value{out}
		}
		largest := 0
		for _, v := range in {
			largest = max(largest, v.shape[1]*v.shape[2])
		}
		if i > 0 && largest < area {
			p.ends = append(p.ends, i)
		}
		area = min(area, largest)
		p.ends[len(p.ends)-1] = i + 1
	}
}

// stage is that of step i.
func (p *program) stage(i int) int {
	s := 0
	for p.ends[s] <= i {
		s++
	}
	return s
}

// setBatches chooses the micro-batch of every stage, each a multiple of the one before: what the
// second cache holds of the pictures that a step touches, or more where the weights of a step are too many for it.
func (p *program) setBatches(cache int) {
	p.batch = make([]int, len(p.ends))
	begin := 0
	for s, end := range p.ends {
		most := 1
		if s > 0 {
			most = p.batch[s-1]
		}
		image, weights, rows := 0, 0, mostImages*fewRows
		for _, step := range p.steps[begin:end] {
			out, in := step.values()
			size := 0
			for _, v := range append(in, out) {
				size += 4 * v.place().size()
			}
			image = max(image, size)
			if m, ok := step.(multiplier); ok {
				w, r := m.work()
				weights = max(weights, 4*w)
				rows = min(rows, r)
			}
		}
		for most < mostImages && (following(most)*image <= cache/4*3 || weights > cache/2 && most*rows < fewRows) {
			most = following(most)
		}
		p.batch[s] = most
		begin = end
	}
	p.arena = layout(p.buffers, p.batch)
	for 4*p.arena > arenaBytes && p.batch[len(p.batch)-1] > 1 {
		p.halve()
	}
}

// following is the micro-batch after n: 1, 3, 6, 12 … With three images and more, rows of tiles
// make whole products for every kernel.
func following(n int) int {
	if n == 1 {
		return 3
	}
	return 2 * n
}

// halve makes the largest micro-batches half as large.
func (p *program) halve() {
	half := p.batch[len(p.batch)-1] / 2
	for s, b := range p.batch {
		p.batch[s] = min(b, half)
	}
	p.arena = layout(p.buffers, p.batch)
}

// multiplier is a step with weights: their number, and the rows of its products for an image.
type multiplier interface{ work() (weights, rows int) }

package cpu

import (
	"context"
	"slices"

	"lsrun/nn"
	"lsrun/nn/engine"
)

var _ engine.Trainer = (*Engine)(nil)

// training is what an engine holds to train: derivatives on a live tape, whose batch norms need the whole batch.
// All hands work on the same planes.
type training struct {
	*derivatives
	room   int      // images that there is room for
	batch  []*batch // by norm
	blocks []span   // of the batch in hand
	onward bool     // its blocks were last taken from the first to the last
	judged []judgement
	sums   []float64 // the gradient in float64
}

// span is count images of a batch from the first on.
type span struct{ first, count int }

// spans divides a batch of so many images into blocks: of many, those at both ends are halved, so that no thread waits long
// for the last one, whichever end that is at.
func (t *tape) spans(images int) (blocks []span) {
	halves := images >= 4*t.block
	for first := 0; first < images; {
		count := t.block
		if halves && (first < t.block || images-first <= t.block) {
			count = (t.block + 1) / 2
		}
		count = min(count, images-first)
		blocks = append(blocks, span{first, count})
		first += count
	}
	return blocks
}

// maxSpans bounds the number of spans of a batch of so many images, or less.
func (t *tape) maxSpans(images int) int { return (images+t.block-1)/t.block + 2 }

// judgement is the loss and the right predictions of a block.
type judgement struct {
	loss    float64
	correct int
}

// train is what the engine holds, with room for so many images.
func (e *Engine) train(images int) *training {
	t := e.trained
	if t == nil {
		t = &training{derivatives: e.derivatives(e.live()), sums: make([]float64, e.Graph.Parameters())}
		e.trained = t
	}
	if images > t.room {
		t.grow(images)
	}
	return t
}

// live lowers the graph for training.
func (e *Engine) live() *tape {
	t := &tape{graph: e.Graph, kernel: &e.kernel, exact: e.exact, live: true}
	t.record()
	return t
}

// liveRooms are the floats of a plane for so many images, and of what a hand has of its own behind values and behind adjoints.
func (t *tape) liveRooms(images int) (plane int, brief [2]int) {
	for l := range brief {
		brief[l] = lined(t.brief[l] + t.slack())
	}
	return lined(images*t.plane + t.slack()), brief
}

// TrainingMemory is what Train takes for batches of so many images, in bytes.
func (e *Engine) TrainingMemory(images int) int64 {
	t := e.live()
	plane, brief := t.liveRooms(images)
	bytes := int64(t.signs*images) + 4*int64(t.choices*images)
	for _, room := range brief {
		bytes += nn.RoomBytes(plane + e.threads*room)
	}
	bytes += int64(e.threads)*t.handBytes() + t.sparesBytes(e.threads) + t.sideBytes(first) + 8*int64(t.gradient+e.Graph.Parameters())
	for _, l := range t.norms {
		bytes += 8 * int64((2*t.maxSpans(images)+5)*lined(l.in.channels))
	}
	return bytes
}

func (t *training) grow(images int) {
	for _, h := range t.hands { // let go before the next are made
		h.planes[values], h.planes[adjoints] = nil, nil
	}
	blocks := t.tape.maxSpans(images)
	t.room, t.batch, t.judged = images, nil, make([]judgement, blocks)
	for _, l := range t.tape.norms {
		t.batch = append(t.batch, newBatch(l, blocks))
	}
	plane, brief := t.tape.liveRooms(images)
	kinks := t.tape.kinks(images)
	for _, h := range t.hands {
		h.room, h.batch, h.kinks = images, t.batch, kinks
	}
	for l, room := range brief {
		p := nn.Room(plane + len(t.hands)*room)
		for i, h := range t.hands {
			h.planes[l], h.briefAt[l] = p, plane+i*room
		}
	}
}

// Train is that of engine.Trainer: float32, with Winograd's transforms where evaluation uses them; sums over pixels for batch norms,
// and over blocks of images, in float64. The kinks are those of float32. No batch is evaluated again for what overflows in a
// transform alone.
func (e *Engine) Train(ctx context.Context, states nn.Params, batch *nn.Images, seed uint64, gradient []float32, moments []engine.Moments) (engine.TrainResult, error) {
	if err := engine.CheckTraining(e.Graph, states, batch, gradient, moments); err != nil {
		return engine.TrainResult{}, err
	}
	t := e.train(batch.Len())
	for i := range states {
		t.point.entries[i] = states[i].Data
	}
	for _, h := range t.hands {
		h.seed = seed
	}
	t.blocks, t.onward = t.tape.spans(batch.Len()), false
	t.prepare(ctx, 0, &t.point, first)
	t.forward(ctx, batch)
	t.judge(ctx, batch)
	t.backward(ctx, batch)
	if err := ctx.Err(); err != nil {
		return engine.TrainResult{}, err
	}
	return t.report(batch, gradient, moments), nil
}

// eachBlock calls f for every block of the batch, and with its place in the order in which they are begun, from all threads until
// ctx is cancelled. Every time the order is the other one: what was done last is still in the caches.
func (t *training) eachBlock(ctx context.Context, f func(h *hand, place int)) {
	t.onward = !t.onward
	t.share(ctx, len(t.blocks), func(h *hand, place int) {
		h.block = place
		if !t.onward {
			h.block = len(t.blocks) - 1 - place
		}
		h.before, h.images = t.blocks[h.block].first, t.blocks[h.block].count
		h.whole()
		f(h, place)
	})
}

func (t *training) forward(ctx context.Context, batch *nn.Images) {
	t.eachBlock(ctx, func(h *hand, _ int) {
		eachPixelOf(h, batch, h.before, func(at int, v float32) { h.planes[values][at] = v })
	})
	for i, s := range t.tape.segments {
		if i > 0 {
			norm := t.waiting(s)
			norm.settle(t.batch[norm.index], &t.point, batch.Len(), len(t.blocks))
		}
		t.eachBlock(ctx, func(h *hand, _ int) {
			h.ahead(t.tape.groups[s.first:s.end], func(l layer) { l.forward(h, first) })
		})
	}
}

// waiting is the batch norm that begins s.
func (t *training) waiting(s segment) *batchNorm {
	return t.tape.layers[t.tape.groups[s.first].first].(*batchNorm)
}

// judge takes the losses and what they hand on.
func (t *training) judge(ctx context.Context, batch *nn.Images) {
	n := float64(batch.Len())
	t.eachBlock(ctx, func(h *hand, _ int) {
		j := judgement{}
		for i := range h.count {
			label := int(batch.Labels[h.before+i])
			logits := h.widen(h.logits[0], values, i)
			j.loss += h.loss.Image(logits, label)
			if nn.Predict(logits) == label {
				j.correct++
			}
			h.loss.Gradient(h.slope, logits, label)
			for c := range h.slope {
				h.slope[c] /= n
			}
			h.descend(adjoints, i)
		}
		h.handOn(t.tape.top, first)
		t.judged[h.block] = j
	})
}

func (t *training) backward(ctx context.Context, batch *nn.Images) {
	clear(t.gradient)
	for i, s := range slices.Backward(t.tape.segments) {
		sum := t.newSum(ctx)
		t.eachBlock(ctx, func(h *hand, place int) {
			h.behind(t.tape.groups[s.first:s.end], func(l layer) {
				if !l.output().constant {
					l.backward(h, first)
				}
			})
			h.gradient = sum.add(place, h.gradient, func(part []float32) { accumulate(t.gradient[s.from:s.to], part[s.from:s.to]) })
		})
		sum.close()
		if i > 0 {
			norm := t.waiting(s)
			norm.settleBack(t.batch[norm.index], &t.point, batch.Len(), len(t.blocks))
		}
	}
}

// report writes what there is after a batch.
func (t *training) report(batch *nn.Images, gradient []float32, moments []engine.Moments) (result engine.TrainResult) {
	t.pull(&t.point, nil, t.sums, first)
	for _, l := range t.tape.norms {
		b := t.batch[l.index]
		copy(t.sums[t.point.first[l.weight]:], b.byWeight)
		copy(t.sums[t.point.first[l.bias]:], b.byBias)
		b.report(moments[l.index], batch.Len()*l.in.height*l.in.width)
	}
	for i, v := range t.sums {
		gradient[i] = float32(v)
	}
	for _, j := range t.judged[:len(t.blocks)] {
		result.Loss += j.loss / float64(batch.Len())
		result.Correct += j.correct
	}
	return result
}

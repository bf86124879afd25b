package cpu

import (
	"context"
	"sync"

	"lsrun/nn"
)

// sum adds up parts in the order of their numbers, whoever computes them. Who is ahead leaves its part and goes on with a spare
// buffer, as long as there is one, and does not wait for the others at every block.
type sum struct {
	*spares
	ctx   context.Context
	next  int
	early map[int]*early // by number
	stop  func() bool
}

// early is a part whose turn has not come, and what is to be done with it then.
type early struct {
	part  []float32
	take  func(part []float32)
	waits bool // its owner does, for this buffer too
	taken bool
}

// spares are the buffers that nobody has in hand.
type spares struct {
	mutex   sync.Mutex
	changed *sync.Cond
	free    [][]float32
}

func newSpares(n, size int) *spares {
	s := &spares{}
	s.changed = sync.NewCond(&s.mutex)
	for range n {
		s.free = append(s.free, nn.Room(size))
	}
	return s
}

// sparesBytes is what they take: there is one less than threads, for one of these is never early.
func (t *tape) sparesBytes(threads int) int64 {
	return int64(threads-1) * nn.RoomBytes(t.gradient)
}

func (d *derivatives) newSum(ctx context.Context) *sum {
	s := &sum{spares: d.spares, ctx: ctx, early: map[int]*early{}}
	s.stop = context.AfterFunc(ctx, func() {
		s.mutex.Lock()
		defer s.mutex.Unlock()
		s.changed.Broadcast()
	})
	return s
}

// add calls take when it is part i's turn, unless ctx is cancelled before, and returns the buffer to go on with. Who waits gets
// its own back at its turn: if others could have it, they might wait for whoever has none.
func (s *sum) add(i int, part []float32, take func(part []float32)) []float32 {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	own := &early{part: part, take: take, waits: true}
	s.early[i] = own
	s.advance()
	for !own.taken {
		if last := len(s.free) - 1; last >= 0 {
			own.waits = false
			part, s.free = s.free[last], s.free[:last]
			return part
		}
		if s.ctx.Err() != nil {
			delete(s.early, i)
			return part
		}
		s.changed.Wait()
	}
	return part
}

// advance takes the parts whose turn has come.
func (s *sum) advance() {
	for e, ok := s.early[s.next]; ok; e, ok = s.early[s.next] {
		e.take(e.part)
		e.taken = true
		if !e.waits {
			s.free = append(s.free, e.part)
		}
		delete(s.early, s.next)
		s.next++
		s.changed.Broadcast()
	}
}

// close takes back what was early when ctx was cancelled.
func (s *sum) close() {
	s.stop()
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, e := range s.early {
		s.free = append(s.free, e.part)
	}
}

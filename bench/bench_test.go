package main

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lsrun/nn"
	"lsrun/nn/cpu"
	"lsrun/nn/zoo"
)

func TestATurnIsWholeBatchesOfThePoolAndAboutItsLength(t *testing.T) {
	for _, c := range []struct {
		rate  float64
		batch int
		want  turn
	}{
		{1000, 128, turn{128, 2048, 1}},
		{10, 128, turn{128, 128, 1}},
		{1e5, 300, turn{300, 9900, 20}},
	} {
		if got := turnOf(c.rate, c.batch, 10000, 2*time.Second); got != c.want {
			t.Errorf("%v images/s in batches of %d: %v, not %v", c.rate, c.batch, got, c.want)
		}
	}
}

func TestTheFastestBatchIsChosenAndOneThatTakesTooLongIsNotTried(t *testing.T) {
	c := &contender{sizes: []int{10, 20, 40, 80}}
	longest := 0
	c.run = func(_ context.Context, t turn) (time.Duration, error) {
		longest = max(longest, t.Batch)
		perImage := map[int]time.Duration{10: 30, 20: 25, 40: 50}[t.Batch] * time.Millisecond
		return time.Duration(t.Images*t.Passes) * perImage, nil
	}
	if err := c.prepare(context.Background(), 1000, time.Second); err != nil {
		t.Fatal(err)
	}
	if want := (turn{20, 40, 1}); c.turn != want || longest != 40 {
		t.Errorf("a turn is %v after batches of up to %d, not %v and 40", c.turn, longest, want)
	}
}

func TestRatiosAreOfMediansAndOfRounds(t *testing.T) {
	own, other := &contender{rates: []float64{10, 30, 20}}, &contender{rates: []float64{5, 10, 4}}
	mid, least, most := result{contenders: []*contender{own}}.ratio(other)
	if mid != 4 || least != 2 || most != 5 {
		t.Errorf("%v, %v…%v, not 4, 2…5", mid, least, most)
	}
	if m := median([]float64{4, 1, 3, 2}); m != 2.5 {
		t.Errorf("the median of four is %v", m)
	}
}

func TestTheSummaryTakesTheFastestOfAGroupAndLeavesAbsentOnesOut(t *testing.T) {
	r := result{network: "net", macs: 1e6, threads: 2, pauses: []float64{0.01, 0.02, 0.5}, contenders: []*contender{
		{name: "lsrun", group: ours, rates: []float64{1000}},
		{name: "paper", group: eager, sizes: []int{128}, turn: turn{Batch: 128}, rates: []float64{100}},
		{name: "slow", group: tuned, rates: []float64{125}},
		{name: "fast", group: tuned, rates: []float64{250}},
	}}
	text := markdown("lsrun beside others", about, []string{"a machine"}, []result{r})
	for _, line := range []string{
		"- a machine\n",
		"| net | 2 | 1000 | 10.00 | 4.00 | 2 % |\n",
		"| net | 2 | paper batch 128 | 100 | 0 | 10.00 | 10.00–10.00 |\n",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("no line %q in\n%s", line, text)
		}
	}
}

func TestLogitsThatDifferOrAreNaNAreRefused(t *testing.T) {
	for _, c := range []struct {
		got  []float64
		same bool
	}{
		{[]float64{3, 4.0001}, true},
		{[]float64{3, 4.001}, false},
		{[]float64{3, math.NaN()}, false},
		{[]float64{3}, false},
	} {
		engine := &contender{name: "engine", logits: func(context.Context, int) ([]float64, error) { return c.got, nil }}
		err := agree(context.Background(), engine, []float64{3, 4})
		if (err == nil) != c.same || err != nil && !strings.Contains(err.Error(), "engine") {
			t.Errorf("%v beside 3, 4: %v", c.got, err)
		}
	}
}

func TestTheProcessorsTimeIsCounted(t *testing.T) {
	if busy, all := ticks(); !(0 < busy && busy < all) {
		t.Errorf("busy for %v of %v", busy, all)
	}
	if share := pause(); !(share >= 0 && share <= 1) {
		t.Errorf("busy for %v of a pause", share)
	}
}

func TestThePacersLastLineCounts(t *testing.T) {
	if rate, err := lastRate([]byte("net 2 threads: 50 images/s\nnet 2 threads: 70 images/s\n")); rate != 70 || err != nil {
		t.Errorf("%v, %v", rate, err)
	}
	for _, bad := range []string{"", "usage", "net 2 threads: many images/s"} {
		if _, err := lastRate([]byte(bad)); err == nil {
			t.Errorf("no error for %q", bad)
		}
	}
}

func TestAChildAnswersAndItsLastWordsAreInTheError(t *testing.T) {
	c, err := start(t.Context(), nil, "sh", "-c", `read line; echo '{"seconds": 1.5}'; read line; echo "no such thing" >&2; exit 1`)
	if err != nil {
		t.Fatal(err)
	}
	if took, err := c.run("eager")(t.Context(), turn{1, 1, 1}); took != 1500*time.Millisecond || err != nil {
		t.Errorf("%v, %v", took, err)
	}
	if _, err := c.run("eager")(t.Context(), turn{1, 1, 1}); err == nil || !strings.Contains(err.Error(), "no such thing") {
		t.Errorf("the error is %v", err)
	}
}

func TestEveryNetworkIsDescribedWithItsFields(t *testing.T) {
	for _, name := range zoo.Names() {
		g, err := zoo.New(name, zoo.Options{})
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(describe(g))
		if err != nil {
			t.Fatal(err)
		}
		var d struct {
			Nodes []struct {
				Kind   string
				Op     map[string]any
				Inputs []int
			}
		}
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatal(err)
		}
		for i, n := range g.Nodes {
			if conv, ok := n.Op.(nn.Conv); ok && (d.Nodes[i].Kind != "conv" || d.Nodes[i].Op["Out"] != float64(conv.Out)) {
				t.Errorf("%s: node %d is %v", name, i, d.Nodes[i])
			}
			if len(d.Nodes[i].Inputs) != len(n.Inputs) {
				t.Errorf("%s: node %d has %d inputs", name, i, len(d.Nodes[i].Inputs))
			}
		}
	}
}

func TestANetworkLeavesItsNumbersInAFolder(t *testing.T) {
	n, err := newNetwork("lenet5", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(n.folder)
	for file, numbers := range map[string]int{
		"states.f32": n.states.Elements(), "images.f32": len(n.images.Pixels), "labels.i32": n.images.Len(),
	} {
		if info, err := os.Stat(filepath.Join(n.folder, file)); err != nil || info.Size() != int64(4*numbers) {
			t.Errorf("%s: %v, %v, not %d numbers", file, info, err, numbers)
		}
	}
	c, _, err := own("lsrun", ours, n, cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	z, err := c.logits(t.Context(), 3)
	if err != nil || len(z) != 30 {
		t.Errorf("%d logits, %v", len(z), err)
	}
	if took, err := c.run(t.Context(), turn{1, 5, 2}); took <= 0 || err != nil {
		t.Errorf("%v, %v", took, err)
	}
}

package direction

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"lsrun/nn"
)

// network is a graph of entries alone: a convolution and a linear map with batch norm
// between them. Its roles follow from the names, as everywhere in PyTorch.
func network() *nn.Graph {
	return graph("small", []nn.Entry{
		{Name: "conv.weight", Shape: nn.Shape{4, 3, 3, 3}},
		{Name: "bn.weight", Shape: nn.Shape{4}},
		{Name: "bn.bias", Shape: nn.Shape{4}},
		{Name: "bn.running_mean", Shape: nn.Shape{4}},
		{Name: "bn.running_var", Shape: nn.Shape{4}},
		{Name: "bn.num_batches_tracked", Shape: nn.Shape{}},
		{Name: "fc.weight", Shape: nn.Shape{5, 16}},
		{Name: "fc.bias", Shape: nn.Shape{5}},
	})
}

func graph(name string, entries []nn.Entry) *nn.Graph {
	roles := map[string]nn.Role{"running_mean": nn.RunningMean, "running_var": nn.RunningVar, "num_batches_tracked": nn.BatchCounter}
	for i, e := range entries {
		entries[i].Role = roles[e.Name[strings.LastIndex(e.Name, ".")+1:]]
	}
	return &nn.Graph{Name: name, Entries: entries}
}

// checkpoint is a θ of g whose filters have norms of many magnitudes.
func checkpoint(g *nn.Graph) nn.Params {
	theta := make(nn.Params, len(g.Entries))
	for i, e := range g.Entries {
		data := make([]float32, e.Shape.Size())
		for k := range data {
			data[k] = float32(math.Sin(float64(1+i+7*k)) * math.Exp(2*math.Cos(float64(i+k/7))))
		}
		theta[i] = nn.Tensor{Name: e.Name, Shape: e.Shape, Data: data}
	}
	return theta
}

func clone(p nn.Params) nn.Params {
	q := slices.Clone(p)
	for i := range q {
		q[i].Data = slices.Clone(p[i].Data)
	}
	return q
}

// reference reads a checkpoint of the paper's code and the groups of a direction file
// around it, by h5py.
func reference(t *testing.T, checkpoint, directions string) (g *nn.Graph, theta nn.Params, groups map[string]nn.Params) {
	t.Helper()
	const folder = "../../testdata/reference/"
	out := python(t, "testdata/reference.py", folder+checkpoint, folder+directions)
	line, values, _ := bytes.Cut(out, []byte("\n"))
	var header struct {
		Entries [][2]json.RawMessage
		Groups  map[string][]nn.Shape
	}
	if err := json.Unmarshal(line, &header); err != nil {
		t.Fatal(err)
	}
	read := func(name string, shape nn.Shape) nn.Tensor {
		data := floats(values[:4*shape.Size()])
		values = values[len(data)*4:]
		return nn.Tensor{Name: name, Shape: shape, Data: data}
	}
	var entries []nn.Entry
	for _, e := range header.Entries {
		var entry nn.Entry
		if json.Unmarshal(e[0], &entry.Name) != nil || json.Unmarshal(e[1], &entry.Shape) != nil {
			t.Fatalf("entry %s", e)
		}
		entries = append(entries, entry)
		theta = append(theta, read(entry.Name, entry.Shape))
	}
	groups = map[string]nn.Params{}
	for _, name := range []string{"xdirection", "ydirection"} {
		for i, shape := range header.Groups[name] {
			groups[name] = append(groups[name], read(strconv.Itoa(i), shape))
		}
	}
	if len(values) != 0 {
		t.Fatalf("%d bytes left over", len(values))
	}
	return graph("resnet20", entries), theta, groups
}

func python(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("/usr/bin/python3", args...)
	var failure bytes.Buffer
	cmd.Stderr = &failure
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("python3 %v: %v\n%s", args, err, &failure)
	}
	return out
}

func floats(b []byte) []float32 {
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}

// fits arranges a file's tensors and checks that they are of weights, or of states.
func fits(t *testing.T, g *nn.Graph, file nn.Params, states bool) nn.Params {
	t.Helper()
	d, got, err := Fit(g, file)
	if err != nil {
		t.Fatal(err)
	}
	if got != states {
		t.Fatalf("Fit says states = %v", got)
	}
	return d
}

// near fails unless both directions perturb the same entries and agree within relative of
// each value.
func near(t *testing.T, got, want nn.Params, relative float64) {
	t.Helper()
	for i := range want {
		if (got[i].Data == nil) != (want[i].Data == nil) || len(got[i].Data) != len(want[i].Data) {
			t.Fatalf("%s: %d values, want %d", want[i].Name, len(got[i].Data), len(want[i].Data))
		}
		for k, w := range want[i].Data {
			if v := got[i].Data[k]; !(math.Abs(float64(v)-float64(w)) <= relative*math.Abs(float64(w))) {
				t.Fatalf("%s[%d] = %v, want %v", want[i].Name, k, v, w)
			}
		}
	}
}

// mustFail fails unless err's message has all of the words.
func mustFail(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one with %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q lacks %q", err, w)
		}
	}
}

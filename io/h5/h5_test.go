package h5

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lsrun/nn"
	"lsrun/shard"
)

const reference = "../../testdata/reference/"

// The values that a conversion would lose.
var (
	quietNaN = math.Float64frombits(0x7ff8_0000_dead_beef)
	strange  = []float64{0, math.Copysign(0, -1), 1.0 / 3, quietNaN, math.Inf(1), math.Inf(-1)}
)

func aSurface() *shard.Surface {
	return &shard.Surface{
		DirFile: "richtungen_ü.h5",
		X:       []float64{-1, 0, 1},
		Y:       []float64{-0.5, 0.5},
		Layers: []shard.Layer{
			{Name: "train_loss", Values: strange, Status: []shard.Status{1, 1, 1, shard.NaN, shard.Inf, shard.Inf},
				Beside: map[string][]float64{"standard_error": strange, "difference_error": {1, 2, 3, 4, 5, 6}}},
			{Name: "max_eig", Values: []float64{1, 2, 3, 4, 5, 6}, Status: []shard.Status{1, 4, 1, 1, 1, 5},
				Beside: map[string][]float64{"residual": {6, 5, 4, 3, 2, 1}}},
			{Name: "test_loss", Values: slices.Repeat([]float64{quietNaN}, 6), Status: make([]shard.Status, 6)},
		},
		Plan:  []byte("{\n  \"format\": 1,\n  \"model\": \"ρ\"\n}\n"),
		Notes: map[string]string{"kernel": "gemm6x16AVX2", "empty": "", "long": strings.Repeat("x", 100_000)},
	}
}

func aLine() *shard.Surface {
	return &shard.Surface{X: []float64{0}, Layers: []shard.Layer{{Name: "train_loss", Values: []float64{2.5}}}}
}

func aShard() *shard.Shard {
	s := &shard.Shard{Plan: []byte(`{"format": 1}`), Unit: 17, Notes: map[string]string{"host": "node7"}}
	for i := range 4 {
		s.Records = append(s.Records, shard.Record{
			Point:  10 + i,
			Status: []shard.Status{shard.Done, shard.NotConverged},
			Values: []float64{float64(i), quietNaN, -1},
		})
	}
	return s
}

func someDirections() *Directions {
	x := nn.Params{{Shape: nn.Shape{2, 3}, Data: []float32{1, 2, 3, 4, 5, float32(math.Inf(1))}}, {Shape: nn.Shape{4}}}
	for i := range 9 { // so that "10" is there, which comes before "2" in the file
		x = append(x, nn.Tensor{Shape: nn.Shape{}, Data: []float32{float32(100 * i)}})
	}
	x = append(x, nn.Tensor{Shape: nn.Shape{}, Data: []float32{0.5}})
	return &Directions{X: x, Y: slices.Clone(x[:2]), Extra: map[string][]float64{"explained_variance_": {3, 1. / 3}}}
}

func aProjection() *Projection {
	return &Projection{X: []float64{3, 0, 2}, Y: []float64{-1, 0, 0.5}, Facts: &PathFacts{
		Path: []int64{0, 0, 1}, Epoch: []int64{0, 10, 0}, File: []string{"model_0.t7", "model_10.t7", "model_0.t7"},
		LearningRate: []float64{0.1, math.NaN(), 0.1}, Distance: []float64{0.1, 0, 0.2},
		Name: []string{"sgd", "größe"}, Held: []float64{0.9, math.NaN()}, Explained: []float64{0.8, 0.1},
		Notes: map[string]string{"model": "resnet20", "origin": "/model_10.t7"},
	}}
}

func TestASurfaceComesBackBitForBit(t *testing.T) {
	for _, want := range []*shard.Surface{aSurface(), aLine()} {
		data, err := Codec{}.EncodeSurface(want)
		check(t, err)
		got, err := Codec{}.DecodeSurface(data)
		check(t, err)
		sameText(t, got, want)
		sameBits(t, got, want)
		again, err := Codec{}.EncodeSurface(got) // what differs then, somebody has added
		check(t, err)
		if !bytes.Equal(again, data) {
			t.Error("what was read is written otherwise")
		}
	}
}

func sameBits(t *testing.T, got, want *shard.Surface) {
	t.Helper()
	for i, l := range want.Layers {
		if !bytes.Equal(bits(got.Layers[i].Values), bits(l.Values)) {
			t.Errorf("layer %s is %v, not %v", l.Name, got.Layers[i].Values, l.Values)
		}
		for name, values := range l.Beside {
			if !bytes.Equal(bits(got.Layers[i].Beside[name]), bits(values)) {
				t.Errorf("%s of layer %s is %v, not %v", name, l.Name, got.Layers[i].Beside[name], values)
			}
		}
	}
}

func TestAShardComesBackBitForBit(t *testing.T) {
	for _, want := range []*shard.Shard{aShard(), {Plan: []byte("{}")}} {
		data, err := Codec{}.EncodeShard(want)
		check(t, err)
		got, err := Codec{}.DecodeShard(data)
		check(t, err)
		sameText(t, got, want)
		for i, r := range want.Records {
			if !bytes.Equal(bits(got.Records[i].Values), bits(r.Values)) {
				t.Errorf("record %d is %v, not %v", i, got.Records[i].Values, r.Values)
			}
		}
	}
}

func TestDirectionsComeBackInTheNumbersOrder(t *testing.T) {
	want := someDirections()
	data, err := EncodeDirections(want)
	check(t, err)
	got, err := DecodeDirections(data)
	check(t, err)
	for i := range want.X {
		want.X[i].Name = fmt.Sprint(i)
	}
	want.X[1].Data = make([]float32, 4) // nil is written as zeros
	want.Y = want.X[:2]
	sameText(t, got, want)
}

func TestAProjectionComesBack(t *testing.T) {
	for _, want := range []*Projection{{X: []float64{1, 2}, Y: []float64{-1, 0.1}}, aProjection()} {
		data, err := EncodeProjection(want)
		check(t, err)
		got, err := DecodeProjection(data)
		check(t, err)
		sameText(t, [][]float64{got.X, got.Y}, [][]float64{want.X, want.Y})
		sameText(t, got.Facts, want.Facts)
	}
}

func TestH5pyReadsOurProjectionInThePapersLayout(t *testing.T) {
	dir := t.TempDir()
	data, err := EncodeProjection(aProjection())
	check(t, err)
	check(t, os.WriteFile(dir+"/p.h5", data, 0o600))
	got := python(t, dir, `
f = h5py.File(d + 'p.h5', 'r')
print(list(f), f['proj_xcoord'].dtype, f['proj_xcoord'][()], f['proj_ycoord'][()])
g = f['lsrun']
print(*(f"{k}: {g[k][()].decode().split() if g[k].dtype == 'O' else g[k][()]};" for k in g), dict(g.attrs))
`)
	want := `['lsrun', 'proj_xcoord', 'proj_ycoord'] float64 [3. 0. 2.] [-1.   0.   0.5]
distance: [0.1 0.  0.2]; epoch: [ 0 10  0]; explained_variance_ratio_: [0.8 0.1]; file: ['model_0.t7', 'model_10.t7', 'model_0.t7']; ` +
		`held: [0.9 nan]; learning_rate: [0.1 nan 0.1]; path: [0 0 1]; path_name: ['sgd', 'größe']; {'model': 'resnet20', 'origin': '/model_10.t7'}`
	if got != want {
		t.Errorf("h5py sees\n%s\nnot\n%s", got, want)
	}
}

func TestBoundsHoldEveryCheckpointAndTheOrigin(t *testing.T) {
	minX, maxX, minY, maxY := aProjection().Bounds()
	if got, want := [4]float64{minX, maxX, minY, maxY}, [4]float64{0, 3, -1, 0.5}; got != want {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestFactsThatDoNotFitAreRefused(t *testing.T) {
	for want, spoil := range map[string]func(f *PathFacts){
		"3 checkpoints there are 3 values of lsrun/path, 2 of epoch": func(f *PathFacts) { f.Epoch = f.Epoch[1:] },
		"1 values for 2 paths":            func(f *PathFacts) { f.Held = f.Held[1:] },
		"3 values for two axes":           func(f *PathFacts) { f.Explained = []float64{1, 2, 3} },
		"checkpoint 2 belongs to path 2":  func(f *PathFacts) { f.Path[2] = 2 },
		"checkpoint 1 belongs to path 0":  func(f *PathFacts) { f.Path = []int64{1, 0, 0} },
		"checkpoint 0 belongs to path -1": func(f *PathFacts) { f.Path[0] = -1 },
		"a name has several lines":        func(f *PathFacts) { f.File[0] = "a\nb" },
	} {
		p := aProjection()
		spoil(p.Facts)
		if _, err := EncodeProjection(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestFilesInTheCurrentFolderDoNotMatter(t *testing.T) {
	data, err := Codec{}.EncodeSurface(aLine())
	check(t, err)
	t.Chdir(t.TempDir())
	for _, name := range []string{"lsrun", "image", "dir_file"} {
		check(t, os.WriteFile(name, data, 0o600))
	}
	s, err := Codec{}.DecodeSurface(data)
	check(t, err)
	sameText(t, s, aLine())
	if left, err := os.ReadDir("."); err != nil || len(left) != 3 {
		t.Errorf("the folder holds %v, %v", left, err)
	}
}

func TestEqualContentIsEqualBytesAtAnyTime(t *testing.T) {
	surface, err := Codec{}.EncodeSurface(aSurface())
	check(t, err)
	part, err := Codec{}.EncodeShard(aShard())
	check(t, err)
	directions, err := EncodeDirections(someDirections())
	check(t, err)
	time.Sleep(1100 * time.Millisecond) // HDF5's time stamps count seconds
	again, err := Codec{}.EncodeSurface(aSurface())
	check(t, err)
	if !bytes.Equal(surface, again) {
		t.Error("a surface has other bytes a second later")
	}
	if again, _ := (Codec{}).EncodeShard(aShard()); !bytes.Equal(part, again) {
		t.Error("a shard has other bytes a second later")
	}
	if again, _ := EncodeDirections(someDirections()); !bytes.Equal(directions, again) {
		t.Error("directions have other bytes a second later")
	}
}

// python runs a script with h5py and numpy, and dir as its argument.
func python(t *testing.T, dir, script string) string {
	t.Helper()
	out, err := exec.Command("/usr/bin/python3", "-c", "import sys, json, h5py, numpy as np\nd = sys.argv[1] + '/'\n"+script, dir).CombinedOutput()
	if err != nil {
		t.Fatalf("python: %v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestH5pyReadsOurSurfaceInThePapersLayout(t *testing.T) {
	dir := t.TempDir()
	data, err := Codec{}.EncodeSurface(aSurface())
	check(t, err)
	check(t, os.WriteFile(dir+"/s.h5", data, 0o600))
	got := python(t, dir, `
f = h5py.File(d + 's.h5', 'r')
print(list(f), f['dir_file'][()].decode(), h5py.check_string_dtype(f['dir_file'].dtype))
for n in ['xcoordinates', 'ycoordinates', 'train_loss', 'lsrun/status/train_loss', 'lsrun/standard_error/train_loss']:
    print(n, f[n].shape, f[n].dtype)
print(f['train_loss'][1, 2], f['max_eig'][1].tolist(), f['lsrun/status/max_eig'][:].tolist())
print(repr(f['lsrun/plan'][()].decode()), f['lsrun/layers'][()].decode().split(), f['lsrun/status_names'][()].decode().split())
print(list(f['lsrun'].attrs), f['lsrun'].attrs['kernel'], len(f['lsrun'].attrs['long']))
`)
	want := `['dir_file', 'lsrun', 'max_eig', 'test_loss', 'train_loss', 'xcoordinates', 'ycoordinates'] richtungen_ü.h5 string_info(encoding='utf-8', length=None)
xcoordinates (3,) float64
ycoordinates (2,) float64
train_loss (2, 3) float64
lsrun/status/train_loss (2, 3) uint8
lsrun/standard_error/train_loss (2, 3) float64
-inf [4.0, 5.0, 6.0] [[1, 4, 1], [1, 1, 5]]
'{\n  "format": 1,\n  "model": "ρ"\n}\n' ['train_loss', 'max_eig', 'test_loss'] ['missing', 'done', 'nan', 'inf', 'not-converged', 'failed', 'not-planned']
['empty', 'kernel', 'long'] gemm6x16AVX2 100000`
	if got != want {
		t.Errorf("h5py sees\n%s\nnot\n%s", got, want)
	}
}

func TestH5pyReadsOurDirectionsLikeThePapers(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"resnet20_filter.h5", "resnet20_states.h5"} {
		original := read(t, name)
		d, err := DecodeDirections(original)
		check(t, err)
		ours, err := EncodeDirections(d)
		check(t, err)
		check(t, os.WriteFile(dir+"/ours.h5", ours, 0o600))
		check(t, os.WriteFile(dir+"/theirs.h5", original, 0o600))
		got := python(t, dir, `
a, b = h5py.File(d + 'ours.h5', 'r'), h5py.File(d + 'theirs.h5', 'r')
assert list(a) == list(b)
for g in b:
    assert list(a[g]) == list(b[g])
    for n in b[g]:
        x, y = a[g][n], b[g][n]
        assert x.shape == y.shape and x.dtype == y.dtype and (x[()] == y[()]).all(), (n, x, y)
print(len(b['xdirection']))
`)
		if got != fmt.Sprint(len(d.X)) {
			t.Errorf("%s: h5py counts %s entries, we %d", name, got, len(d.X))
		}
	}
}

func TestAFileStaysGoodWhenH5pyAddsToIt(t *testing.T) {
	dir := t.TempDir()
	data, err := Codec{}.EncodeSurface(aLine())
	check(t, err)
	check(t, os.WriteFile(dir+"/s.h5", data, 0o600))
	python(t, dir, "with h5py.File(d + 's.h5', 'r+') as f: f['smooth'] = np.ones(1)")
	data, err = os.ReadFile(dir + "/s.h5")
	check(t, err)
	s, err := Codec{}.DecodeSurface(data)
	check(t, err)
	sameText(t, s, aLine())
}

func TestEveryReferenceFileDecodes(t *testing.T) {
	values := map[string][]float64{}
	check(t, json.Unmarshal([]byte(python(t, reference, `
r = {}
for n in ['surface', 'mse', 'interpolation', 'hessian', 'noshort_surface']:
    with h5py.File(d + 'resnet20_' + n + '.h5', 'r') as f:
        r.update({n + '/' + k: [repr(v) for v in f[k][()].ravel()] for k in f if f[k].shape})
print(json.dumps({k: [float(x) if x not in ('nan', 'inf') else 1e300 for x in v] for k, v in r.items()}))
`)), &values))
	for _, c := range []struct {
		name, dirFile string
		nx, ny        int
		layers        []string
	}{
		{"surface", "resnet20_filter.h5", 9, 9, []string{"test_acc", "test_loss", "test_loss_fp64", "train_acc", "train_loss", "train_loss_fp64"}},
		{"mse", "resnet20_filter.h5", 3, 3, []string{"train_acc", "train_loss", "train_loss_fp64"}},
		{"interpolation", "resnet20_states.h5", 11, 0, []string{"test_acc", "test_loss", "test_loss_fp64", "train_acc", "train_loss", "train_loss_fp64"}},
		{"hessian", "resnet20_filter.h5", 3, 3, []string{"hvp_count", "max_eig", "min_eig", "train_acc", "train_loss", "train_loss_fp64"}},
		{"noshort_surface", "resnet20_noshort_layer.h5", 5, 4, []string{"test_acc", "test_loss", "test_loss_fp64", "train_acc", "train_loss", "train_loss_fp64"}},
	} {
		s, err := Codec{}.DecodeSurface(read(t, "resnet20_"+c.name+".h5"))
		check(t, err)
		var names []string
		for _, l := range s.Layers {
			names = append(names, l.Name)
			for i, v := range l.Values {
				if want := values[c.name+"/"+l.Name][i]; v != want && !(want == 1e300 && (math.IsNaN(v) || math.IsInf(v, 1))) {
					t.Errorf("%s: %s[%d] is %v, h5py reads %v", c.name, l.Name, i, v, want)
				}
			}
		}
		if s.DirFile != c.dirFile || len(s.X) != c.nx || len(s.Y) != c.ny || !slices.Equal(names, c.layers) || s.Plan != nil || s.Notes != nil {
			t.Errorf("%s: %q, %d×%d, %v, notes %v", c.name, s.DirFile, len(s.X), len(s.Y), names, s.Notes)
		}
	}
	for name, entries := range map[string][2]int{"filter": {65, 65}, "states": {128, 0}, "noshort_layer": {59, 59}} {
		d, err := DecodeDirections(read(t, "resnet20_"+name+".h5"))
		check(t, err)
		if len(d.X) != entries[0] || len(d.Y) != entries[1] || d.X[10].Name != "10" || d.X[0].Shape.String() != "16×3×3×3" {
			t.Errorf("%s: %d and %d entries, the first of shape %v", name, len(d.X), len(d.Y), d.X[0].Shape)
		}
	}
}

func TestThePapersPlaneIsReadWithXRunningFastestAndMinusOneIsMissing(t *testing.T) {
	dir := t.TempDir()
	python(t, dir, `
with h5py.File(d + 'f.h5', 'w') as f:
    f['dir_file'] = np.bytes_('a_fixed.h5')
    f['xcoordinates'] = np.linspace(-1, 1, 3)
    f['ycoordinates'] = np.linspace(0, 1, 2)
    losses = -np.ones((3, 2))
    losses.ravel()[:4] = [10, 11, 12, 20]   # as the paper's code fills it
    f['train_loss'] = losses
    f['big'] = np.arange(6, dtype='>f4').reshape(2, 3)
    f['images'] = 128
`)
	data, err := os.ReadFile(dir + "/f.h5")
	check(t, err)
	s, err := Codec{}.DecodeSurface(data)
	check(t, err)
	loss, big := s.Layer("train_loss"), s.Layer("big")
	if len(s.Layers) != 2 || s.DirFile != "a_fixed.h5" || !strings.Contains(s.Notes["layout"], "(3, 2)") {
		t.Errorf("got %+v", s)
	}
	if fmt.Sprint(loss.Values, loss.Status) != "[10 11 12 20 NaN NaN] [done done done done missing missing]" {
		t.Errorf("the loss is %v %v", loss.Values, loss.Status)
	}
	if fmt.Sprint(big.Values, big.Status) != "[0 1 2 3 4 5] []" {
		t.Errorf("the big-endian layer is %v %v", big.Values, big.Status)
	}
}

func TestArraysOfEveryTypeAreConverted(t *testing.T) {
	dir := t.TempDir()
	python(t, dir, `
with h5py.File(d + 'f.h5', 'w') as f:
    for t in ['u1', 'i1', '<i2', '>i2', '<u4', '>i8', '<i8', '<u8', '<f2', '>f4', '<f8', 'bool']:
        f[t] = np.array([[0, 1, 100]]).astype(t)
    f.create_dataset('packed', data=np.zeros(100000, 'f4'), compression='gzip', shuffle=True, chunks=True)
    f['scalar'] = np.float32(0.1)
    f['none'] = np.zeros((0, 3), 'u1')
`)
	data, err := os.ReadFile(dir + "/f.h5")
	check(t, err)
	arrays, err := ReadArrays(data, "u1", "i1", "<i2", ">i2", "<u4", ">i8", "<i8", "<u8", "<f2", ">f4", "<f8", "bool", "packed", "scalar", "none", "absent")
	check(t, err)
	for name, a := range arrays {
		got := fmt.Sprint(a.Shape, a.Bytes, a.Ints, a.Floats)
		want := "[1 3] [] [0 1 100] []"
		switch name {
		case "u1":
			want = "[1 3] [0 1 100] [] []"
		case "<f2", ">f4", "<f8":
			want = "[1 3] [] [] [0 1 100]"
		case "bool":
			want = "[1 3] [] [0 1 1] []"
		case "packed":
			want = "[100000] [] [] " + fmt.Sprint(make([]float32, 100000))
		case "scalar":
			want = "[] [] [] [0.1]"
		case "none":
			want = "[0 3] [] [] []"
		}
		if got != want {
			t.Errorf("%s: got %.100s, want %.100s", name, got, want)
		}
	}
	if len(arrays) != 15 || arrays["none"].Bytes == nil {
		t.Errorf("got %v", slices.Sorted(maps.Keys(arrays)))
	}
}

// refusals are files made by h5py and what is said about them.
var refusals = []struct{ name, script, as, want string }{
	{"gap", "f['xdirection/0'] = 1.; f['xdirection/2'] = 1.", "direction", "none called 1"},
	{"no direction", "f['weights'] = 1.", "direction", "no group xdirection, only weights"},
	{"text", "f['xdirection/0'] = 'a'", "direction", "xdirection/0"},
	{"group for dataset", "f.create_group('xdirection/0')", "direction", "xdirection/0"},
	{"no values", "f['xdirection/0'] = h5py.Empty('f')", "direction", "no values"},
	{"huge", "f.create_dataset('xdirection/0', (2**31, 2**31), 'f8', chunks=(8, 8))", "direction", "cannot be true"},
	{"overflow", "f.create_dataset('xdirection/0', (2**62, 2**62 - 1), 'f8', chunks=(8, 8))", "direction", "xdirection/0"},
	{"compound", "f['xdirection/0'] = np.zeros(2, 'f4,i4')", "direction", "compound"},
	{"no surface", "f['a'] = 1.", "surface", "no dataset xcoordinates"},
	{"matrix", "f['xcoordinates'] = np.zeros((2, 2))", "surface", "a vector was expected"},
	{"text axis", "f['xcoordinates'] = 'a'", "surface", "xcoordinates: it holds a string"},
	{"number dir_file", "f['xcoordinates'] = [1.]; f['dir_file'] = 1", "surface", "dir_file: it holds numbers"},
	{"empty lsrun", "f['xcoordinates'] = [1.]; f.create_group('lsrun')", "surface", "lsrun/status_names"},
	{"lengths", "f['proj_xcoord'] = [1., 2.]; f['proj_ycoord'] = [1.]", "projection", "2 values and proj_ycoord 1"},
	{"no projection", "f['a'] = 1.", "projection", "no dataset proj_xcoord, only a"},
	{"empty facts", "f['proj_xcoord'] = [1.]; f['proj_ycoord'] = [1.]; f.create_group('lsrun')", "projection", "lsrun/path"},
	{"missing", "f['proj_xcoord'] = [1., 2.]", "projection", "proj_ycoord"},
	{"clipped", "f['y'] = np.array([2**64 - 1], 'u8')", "data", "dataset y"},
	{"dangling", "f['y'] = h5py.SoftLink('/nothing')", "data", "dataset y"},
	{"shard", "f['plan'] = 'p'; f['unit'] = 1; f['points'] = [1, 2]; f['status'] = np.zeros((1, 1), 'u1')", "shard", "there are 2 points"},
	{"codes", "f['plan'] = 'p'; f['unit'] = 1; f['points'] = [1]; f['status'] = np.full((1, 1), 99, 'u1'); f['values'] = np.zeros((1, 1))", "shard", "code 99"},
	{"float32", "f['plan'] = 'p'; f['unit'] = 1; f['points'] = [1]; f['status'] = np.ones((1, 1), 'u1'); f['values'] = np.zeros((1, 1), 'f4')", "shard", "not float64"},
}

// decoders are every way into a file, by what it should be.
var decoders = map[string]func([]byte) (any, error){
	"direction":  func(b []byte) (any, error) { return DecodeDirections(b) },
	"surface":    func(b []byte) (any, error) { return Codec{}.DecodeSurface(b) },
	"shard":      func(b []byte) (any, error) { return Codec{}.DecodeShard(b) },
	"projection": func(b []byte) (any, error) { return DecodeProjection(b) },
	"data":       func(b []byte) (any, error) { return ReadArrays(b, "X", "y") },
	"any":        func(b []byte) (any, error) { return Describe(b) },
}

func TestWhatDoesNotFitIsRefusedByName(t *testing.T) {
	dir := t.TempDir()
	script := ""
	for i, r := range refusals {
		script += fmt.Sprintf("with h5py.File(d + '%d.h5', 'w') as f: %s\n", i, r.script)
	}
	python(t, dir, script)
	for i, r := range refusals {
		data, err := os.ReadFile(fmt.Sprintf("%s/%d.h5", dir, i))
		check(t, err)
		_, err = decoders[r.as](data)
		if !errors.Is(err, shard.ErrCorrupt) || !strings.Contains(err.Error(), r.want) {
			t.Errorf("%s: the error is %v", r.name, err)
		}
	}
}

func TestWhatIsNotHDF5IsRefusedByEveryDecoder(t *testing.T) {
	for name, data := range map[string][]byte{
		"the file is empty": nil, "not an HDF5 file": []byte("PK\x03\x04"), "reading": signature,
	} {
		for as, decoder := range decoders {
			if _, err := decoder(data); !errors.Is(err, shard.ErrCorrupt) || !strings.Contains(err.Error(), name) {
				t.Errorf("%s as %s: the error is %v", name, as, err)
			}
		}
	}
}

func TestEveryCutAndEveryFlippedBitOfAShardIsNoticedOrHarmless(t *testing.T) {
	whole, err := Codec{}.EncodeShard(aShard())
	check(t, err)
	want := fmt.Sprint(aShard())
	try := func(what string, at int, data []byte) {
		got, err := Codec{}.DecodeShard(data)
		if err != nil && !errors.Is(err, shard.ErrCorrupt) || err == nil && fmt.Sprint(got) != want {
			t.Errorf("%s at %d: %v, %v", what, at, got, err)
		}
	}
	for n := range whole {
		try("cut", n, whole[:n])
		damaged := bytes.Clone(whole)
		damaged[n] ^= 1 << (n % 8)
		try("flip", n, damaged)
	}
}

func TestAForeignFileCutAnywhereIsRefused(t *testing.T) {
	whole := read(t, "resnet20_interpolation.h5")
	for n := range whole {
		for as, decoder := range decoders {
			if _, err := decoder(whole[:n]); !errors.Is(err, shard.ErrCorrupt) {
				t.Errorf("cut at %d as %s: %v", n, as, err)
			}
		}
	}
}

func TestNothingStaysOpen(t *testing.T) {
	surface, err := Codec{}.EncodeSurface(aSurface())
	check(t, err)
	states := read(t, "resnet20_states.h5")
	round := func() {
		for _, decoder := range decoders {
			for _, data := range [][]byte{surface, states, surface[:len(surface)/2]} {
				decoder(data)
			}
		}
		Codec{}.EncodeSurface(aSurface())
		Codec{}.EncodeSurface(&shard.Surface{Layers: []shard.Layer{{Name: "a/b"}}})
		EncodeDirections(someDirections())
	}
	round()
	before := openIDs()
	check(t, decode("a file", surface, func(r *reader) error {
		if during := openIDs(); during <= before {
			t.Errorf("%d identifiers are in use while a file is open, %d before", during, before)
		}
		return nil
	}))
	for range 3 {
		round()
	}
	if after := openIDs(); after != before {
		t.Errorf("%d identifiers were in use, now %d", before, after)
	}
}

func TestEncodingRefusesWhatTheFormatCannotHold(t *testing.T) {
	for want, s := range map[string]*shard.Surface{
		"do not fill the shape": {X: []float64{1, 2}, Layers: []shard.Layer{{Name: "a", Values: []float64{1}}}},
		"cannot be the name":    {X: []float64{1}, Layers: []shard.Layer{{Name: "a/b", Values: []float64{1}}}},
		"zero byte":             {DirFile: "a\x00b"},
		"dataset xcoordinates":  {X: []float64{1}, Layers: []shard.Layer{{Name: "xcoordinates", Values: []float64{1}}}},
		"group lsrun/status":    {X: []float64{1}, Layers: []shard.Layer{{Name: "a", Values: []float64{1}, Beside: map[string][]float64{"status": {1}}}}},
	} {
		if _, err := (Codec{}).EncodeSurface(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: the error is %v", want, err)
		}
	}
	ragged := aShard()
	ragged.Records[2].Values = nil
	if _, err := (Codec{}).EncodeShard(ragged); err == nil || !strings.Contains(err.Error(), "point 12") {
		t.Errorf("a ragged shard gives %v", err)
	}
}

func TestManyGoroutinesMayReadAndWriteAtOnce(t *testing.T) {
	want, err := Codec{}.EncodeSurface(aSurface())
	check(t, err)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 10 {
				s, err := Codec{}.DecodeSurface(want)
				check(t, err)
				again, err := Codec{}.EncodeSurface(s)
				check(t, err)
				if !bytes.Equal(again, want) {
					t.Error("the bytes differ")
				}
				if _, err := DecodeDirections(want); err == nil || !strings.Contains(err.Error(), "xdirection") {
					t.Errorf("another goroutine's error: %v", err)
				}
			}
		})
	}
	all.Wait()
}

func TestDescribeTellsFilesApartAndListsThem(t *testing.T) {
	part, err := Codec{}.EncodeShard(aShard())
	check(t, err)
	surface, err := Codec{}.EncodeSurface(aSurface())
	check(t, err)
	projection, err := EncodeProjection(&Projection{X: []float64{1}, Y: []float64{2}})
	check(t, err)
	for want, data := range map[string][]byte{
		"shard": part, "surface": surface, "projection": projection, "direction": read(t, "resnet20_states.h5"),
	} {
		d, err := Describe(data)
		check(t, err)
		if d.Kind != want {
			t.Errorf("a %s is taken for a %s", want, d.Kind)
		}
	}
	d, err := Describe(part)
	check(t, err)
	if got := fmt.Sprint(d.Items); got != `[{/ group []  []} {notes group []  [{host node7}]} {plan string [] {"format": 1} []} `+
		`{points int64 [4] 10 11 12 13 []} {status uint8 [4 2] 1 4 1 4 1 4 1 4 []} {unit int64 [] 17 []} `+
		`{values float64 [4 3] 0 NaN -1 1 NaN -1 2 NaN -1 3 NaN -1 []}]` {
		t.Errorf("the items are %s", got)
	}
	dir := t.TempDir()
	python(t, dir, "f = h5py.File(d + 'f.h5', 'w'); f.create_group('a'); f['a/again'] = f['a']; f['n'] = 1; f['n'].attrs['unit'] = 2.5; f.close()")
	data, err := os.ReadFile(dir + "/f.h5")
	check(t, err)
	if _, err := Describe(data); err == nil || !strings.Contains(err.Error(), "nested") {
		t.Errorf("a group in itself gives %v", err)
	}
}

func bits(v []float64) []byte {
	var b []byte
	for _, x := range v {
		b = fmt.Appendf(b, "%016x ", math.Float64bits(x))
	}
	return b
}

// sameText compares values whose NaN would differ from themselves.
func sameText(t *testing.T, got, want any) {
	t.Helper()
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Errorf("got\n%.2000s\nnot\n%.2000s", g, w)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(reference, name))
	check(t, err)
	return data
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

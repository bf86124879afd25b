package formula

import (
	"os"
	"path/filepath"
	"testing"

	"lsrun/nn"
)

// The first outputs of SplitMix64 for the seed 1234567, as implementations publish them.
func TestTheGeneratorIsSplitMix64(t *testing.T) {
	for i, want := range []uint64{6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821} {
		if got := splitMix64(1234567, i+1); got != want {
			t.Errorf("number %d is %d, not %d", i+1, got, want)
		}
	}
}

func TestTheVectorCountsParametersAndLeavesStatisticsOut(t *testing.T) {
	b := nn.NewBuilder("net", nn.Shape{2})
	b.Add("fc", nn.Linear{Out: 2, Bias: true}, b.Add("bn", nn.BatchNorm{}, 0))
	g, err := b.Graph()
	if err != nil {
		t.Fatal(err)
	}
	v := Vector(g, 7)
	seeds := []uint64{2000010, 2000011, 0, 0, 0, 2000012, 2000013} // bn: weight, bias, statistics; fc
	for k, seed := range seeds {
		if seed == 0 {
			if v[k].Data != nil {
				t.Errorf("%s has data", v[k].Name)
			}
			continue
		}
		want := float32(int64(splitMix64(seed, 1)>>40)-1<<23) / (1 << 23)
		if len(v[k].Data) != g.Entries[k].Shape.Size() || v[k].Data[0] != want {
			t.Errorf("%s is %v, its first value not %v", v[k].Name, v[k].Data, want)
		}
	}
}

func TestAFileThatIsNotTheReferenceIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "zoo.json")
	if _, err := Zoo(path); err == nil {
		t.Error("no error for a missing file")
	}
	for _, text := range []string{"", "{", `{"models": {"net": {"entries": [[1, 2]]}}}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Zoo(path); err == nil {
			t.Errorf("no error for %q", text)
		}
	}
}

package kernel

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

func TestTheAssemblyIsWhatTheGeneratorWrites(t *testing.T) {
	for _, isa := range []string{"avx2", "avx512"} {
		name := isa + "_amd64.s"
		path := filepath.Join(t.TempDir(), name)
		generator := exec.Command("go", "run", ".", "-isa", isa, "-out", path)
		generator.Dir = "gen"
		generator.Env = append(os.Environ(), "GOWORK=off", "GOOS=", "GOARCH=", "GOFLAGS=")
		if text, err := generator.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if !bytes.Equal(body(t, path), body(t, name)) {
			t.Errorf("%s is not what gen writes: run go generate", name)
		}
	}
}

func TestAVX2HasSixteenRegisters(t *testing.T) {
	if wide := regexp.MustCompile(`\bY(1[6-9]|[23][0-9])\b`).Find(body(t, "avx2_amd64.s")); wide != nil {
		t.Errorf("%s is a register of AVX-512: a kernel of AVX2 needs too many", wide)
	}
}

// body is a generated file after its first line, which names the command.
func body(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(text, []byte("\n"))
	return rest
}

package kernel

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestTheAssemblyIsWhatTheGeneratorWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "avx2_amd64.s")
	generator := exec.Command("go", "run", ".", "-out", path)
	generator.Dir = "gen"
	generator.Env = append(os.Environ(), "GOWORK=off", "GOOS=", "GOARCH=", "GOFLAGS=")
	if text, err := generator.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if !bytes.Equal(body(t, path), body(t, "avx2_amd64.s")) {
		t.Error("avx2_amd64.s is not what gen/main.go writes: run go generate")
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

package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lsrun/shard"
)

// exhibitOf is what lsrun serve shows of a run.
func exhibitOf(t *testing.T, dir string) *exhibit {
	t.Helper()
	run, err := shard.Open(files, dir)
	if err != nil {
		t.Fatal(err)
	}
	return &exhibit{ctx: t.Context(), run: run, page: []byte("page"), observer: &observer{}}
}

// reply is what a server says to a request.
func reply(handler http.Handler, method, path, host string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(method, path, nil)
	request.Host = host
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return recorder
}

func TestServeAnswersToItsOwnNamesAndToReading(t *testing.T) {
	shown := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("shown")) })
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method, host string
		code         int
	}{
		{"GET", "127.0.0.1:8080", 200}, {"HEAD", "127.0.0.1:8080", 200}, {"GET", "localhost:8080", 200}, {"GET", "LocalHost", 200},
		{"GET", "[::1]:8080", 200}, {"GET", "192.168.0.7:80", 200}, {"GET", "node7.cluster:8080", 200}, {"GET", machine + ":1", 200},
		{"GET", "evil.example", 421}, {"GET", "evil.example:8080", 421}, {"GET", "127.0.0.1.evil.example", 421}, {"GET", "localhost.evil.example:8080", 421}, {"GET", "", 421},
		{"POST", "127.0.0.1:8080", 405}, {"DELETE", "localhost", 405}, {"OPTIONS", "localhost", 405},
	} {
		got := reply(guard("node7.cluster", shown), c.method, "/", c.host)
		if got.Code != c.code || (got.Body.String() == "shown") != (c.code == 200) {
			t.Errorf("%s of the host %q: %d, %q, want %d", c.method, c.host, got.Code, got.Body, c.code)
		}
		if got.Header().Get("Access-Control-Allow-Origin") != "" || got.Header().Get("Cross-Origin-Resource-Policy") != "same-origin" {
			t.Errorf("%s of the host %q lets others' pages read", c.method, c.host)
		}
	}
	if got := reply(guard("", shown), "GET", "/", ""); got.Code != 421 {
		t.Errorf("a request without a host is answered with %d where all addresses are listened at", got.Code)
	}
}

// TestServeChangesNothing shows a run with a shard that a merge would put into quarantine.
func TestServeChangesNothing(t *testing.T) {
	x := newTiny(t)
	dir := x.corrupt(t)
	before := names(t, dir)
	e := exhibitOf(t, dir)
	got := reply(e, "GET", "/data.json", "localhost")
	if got.Code != 200 || !strings.Contains(got.Body.String(), `"name":"train_loss"`) {
		t.Errorf("%d, %.300s", got.Code, got.Body)
	}
	if after := names(t, dir); after != before {
		t.Errorf("it was\n%s\nand is\n%s", before, after)
	}
	if again := reply(e, "GET", "/data.json", "localhost"); again.Header().Get("ETag") != got.Header().Get("ETag") {
		t.Error("what did not change has another tag")
	}
	if got := reply(e, "GET", "/plan.json", "localhost"); got.Code != 404 {
		t.Errorf("a file of the run is answered with %d", got.Code)
	}
}

// names are the files in a folder.
func names(t *testing.T, dir string) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		all = append(all, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, "\n")
}

func TestServeSaysWhyThereIsNoSurface(t *testing.T) {
	x := newTiny(t)
	if got := reply(exhibitOf(t, x.copy(t)), "GET", "/data.json", "localhost"); !strings.Contains(got.Body.String(), "No point is done yet") || !strings.Contains(got.Body.String(), `"surfaces":[]`) {
		t.Errorf("of a run that has not begun it says %.300s", got.Body)
	}
}

func TestTheHeadlineNamesStragglersAndFailures(t *testing.T) {
	s := &shard.RunStatus{Points: 9, PointsDone: 4, Units: 3, UnitsDone: 1,
		Hosts: []shard.HostStatus{{Host: "new"}, {Host: "ill", Speed: 0.4}, {Host: "a", Speed: 1}, {Host: "b", Speed: 1.1}}}
	if got, want := headline(s), "4 of 9 points, 1 of 3 units, 0 running; slow: ill"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	s.Hosts, s.Failed = nil, []shard.Failure{{Cause: "no memory"}}
	if got, want := headline(s), "4 of 9 points, 1 of 3 units, 0 running; attempts have failed"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"lsrun/shard"
)

func TestStragglersStandOut(t *testing.T) {
	s := &shard.RunStatus{Hosts: []shard.HostStatus{{Host: "new", Running: 2}, {Host: "ill", Running: 4, Points: 31, Speed: 0.31}}}
	for i := range 20 {
		s.Hosts = append(s.Hosts, shard.HostStatus{Host: fmt.Sprint("n", i), Points: 1000, Speed: 1 + float64(i)/100})
	}
	var out bytes.Buffer
	writeHosts(&out, s)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != mostHosts+1 {
		t.Fatalf("%d lines:\n%s", len(lines), &out)
	}
	for i, words := range [][]string{
		{"hosts", "new", "2 running", "no point yet"},
		{"ill", "4 running", "31 points", "0.31 × the average speed of a worker: slow"},
		{"n0", "0 running", "1,000 points", "1.00 × the average speed of a worker"},
	} {
		for _, word := range words {
			if !strings.Contains(lines[i], word) {
				t.Errorf("line %d is %q, want %q in it", i, lines[i], word)
			}
		}
	}
	if strings.Contains(lines[2], "slow") || lines[mostHosts] != "            and 10 faster ones up to 1.19 × (--json has all)" {
		t.Errorf("%q, %q", lines[2], lines[mostHosts])
	}
	out.Reset()
	if writeHosts(&out, &shard.RunStatus{Hosts: s.Hosts[1:2]}); out.Len() > 0 {
		t.Errorf("one host is compared with itself: %s", &out)
	}
}

package slurm

import (
	"context"
	"os"
	"strconv"
	"strings"
)

// End is a job, or a life of a task, that did not end well.
type End struct {
	ID    string // as Task.ID
	State string // "OUT_OF_MEMORY", "TIMEOUT", …
	Node  string
}

// Ends lists how this user's jobs of a name ended in the last thirty days, other than well. Sites that keep no accounts
// give an error.
func (c Client) Ends(ctx context.Context, name string) ([]End, error) {
	out, err := c.ask(ctx, "sacct", "--noheader", "--parsable2", "--allocations", "--duplicates", "--user="+strconv.Itoa(os.Getuid()),
		"--name="+name, "--starttime=now-30days", "--state=BOOT_FAIL,CANCELLED,DEADLINE,FAILED,NODE_FAIL,OUT_OF_MEMORY,PREEMPTED,TIMEOUT",
		"--format=JobID,State,NodeList,JobName%64")
	if err != nil {
		return nil, err
	}
	var ends []End
	for line := range strings.Lines(out) {
		f := strings.SplitN(strings.TrimRight(line, "\n"), "|", 4)
		if len(f) < 4 || f[3] != name {
			continue
		}
		state, _, _ := strings.Cut(f[1], " ") // "CANCELLED by 1000"
		ends = append(ends, End{f[0], state, f[2]})
	}
	return ends, nil
}

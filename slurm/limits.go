package slurm

import (
	"context"
	"os"
	"os/user"
	"strconv"
	"strings"
)

// Room is how many more jobs, each task of an array one, the user may put into the queue
// under an account and a quality of service ("" for the site's choice). Known is false
// where the site sets no limit, or keeps no accounts that tell.
func (c Client) Room(ctx context.Context, account, qos string) (room int, known bool) {
	self, err := user.Current()
	if err != nil {
		return 0, false
	}
	where := []string{"user=" + self.Username}
	if account != "" {
		where = append(where, "account="+account)
	}
	limit, known := c.limit(ctx, append([]string{"show", "associations", "format=MaxSubmitJobs", "where"}, where...)...)
	if qos != "" {
		if n, ok := c.limit(ctx, "show", "qos", "format=MaxSubmitJobsPerUser", "where", "name="+qos); ok && (!known || n < limit) {
			limit, known = n, true
		}
	}
	if !known {
		return 0, false
	}
	out, err := c.ask(ctx, "squeue", "--noheader", "--array", "--user="+strconv.Itoa(os.Getuid()), "--format=%A")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(out) {
		if isNumber(strings.TrimSpace(line)) {
			limit--
		}
	}
	return max(limit, 0), true
}

// limit asks sacctmgr for a column of limits and returns the largest: which of several
// rows counts, SLURM decides when it is asked for more.
func (c Client) limit(ctx context.Context, args ...string) (largest int, known bool) {
	out, err := c.ask(ctx, "sacctmgr", append([]string{"--noheader", "--parsable2"}, args...)...)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(out) {
		n, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil { // a row without a limit
			return 0, false
		}
		largest, known = max(largest, n), true
	}
	return largest, known
}

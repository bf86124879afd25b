package slurm

import (
	"errors"
	"slices"
	"testing"
)

func TestEndsAreThoseOfTheName(t *testing.T) {
	standIns(t, map[string]string{"sacct": `cat <<'...'
Welcome to the site
12_3|OUT_OF_MEMORY|node7|lsrun-a
12_4|CANCELLED by 1000|None assigned|lsrun-a
13|FAILED|node1|lsrun-b
...
`})
	ends, err := Client{}.Ends(t.Context(), "lsrun-a")
	want := []End{{"12_3", "OUT_OF_MEMORY", "node7"}, {"12_4", "CANCELLED", "None assigned"}}
	if err != nil || !slices.Equal(ends, want) {
		t.Errorf("%v, %v; want %v", ends, err, want)
	}
}

func TestASiteWithoutAccountsIsAnError(t *testing.T) {
	standIns(t, map[string]string{"sacct": "echo Slurm accounting storage is disabled >&2; exit 1\n"})
	var refused *CommandError
	if ends, err := (Client{}).Ends(t.Context(), "lsrun-a"); !errors.As(err, &refused) || ends != nil {
		t.Errorf("%v, %v", ends, err)
	}
}

package kernel

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestPeakWorksOnEverySumInEveryRound(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		for _, rounds := range []int{1, 2, 1000} {
			sums, check := guarded(t, make([]float32, k.PeakSums()))
			k.Peak(sums, 1, rounds)
			check()
			for i, sum := range sums {
				if sum != float32(rounds) {
					t.Fatalf("sum %d is %v after %d rounds", i, sum, rounds)
				}
			}
		}
	})
}

// So that 2·PeakSums operations a round are all that there is to do.
func TestARoundOfPeakIsNothingButMultiplyAdds(t *testing.T) {
	for _, isa := range []string{"avx2", "avx512"} {
		text, err := os.ReadFile(isa + "_amd64.s")
		if err != nil {
			t.Fatal(err)
		}
		_, body, _ := strings.Cut(string(text), "TEXT ·peak"+strings.ToUpper(isa))
		_, round, _ := strings.Cut(body, "\nround:\n")
		round, _, _ = strings.Cut(round, "JNZ")
		fmas := regexp.MustCompile(`VFMADD213PS `).FindAllString(round, -1)
		if lines := strings.Count(round, "\n"); len(fmas) != 12 || lines != len(fmas)+1 {
			t.Errorf("%s: %d multiply-adds in %d lines:\n%s", isa, len(fmas), lines, round)
		}
	}
}

package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// count writes n with thousands separated: 2,601.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// plural writes n with the noun, which is put in the plural unless n is 1.
func plural(n int, noun string) string {
	stem, y := strings.CutSuffix(noun, "y")
	switch {
	case n == 1:
	case y:
		noun = stem + "ies"
	default:
		noun += "s"
	}
	return count(int64(n)) + " " + noun
}

// magnitude writes v with three digits and a prefix: 40.6 M.
func magnitude(v float64) string {
	for _, p := range []struct {
		size float64
		name string
	}{{1e18, "E"}, {1e15, "P"}, {1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if v >= p.size {
			return fmt.Sprintf("%.3g %s", v/p.size, p.name)
		}
	}
	return fmt.Sprintf("%.3g", v)
}

// megabytes writes a memory size.
func megabytes(bytes int64) string {
	if bytes >= 10<<30 {
		return fmt.Sprintf("%.1f GB", float64(bytes)/(1<<30))
	}
	return fmt.Sprintf("%.0f MB", float64(bytes)/(1<<20))
}

// lasting writes a duration as a person would say it.
func lasting(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.1f h", d.Hours())
	}
	return fmt.Sprintf("%.1f days", d.Hours()/24)
}

package slurm

import (
	"fmt"
	"strings"
)

func isControl(c rune) bool { return c < ' ' || c == 0x7f }

// isPlain says whether a character means nothing to bash and sbatch.
func isPlain(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("/._-+=,:@%", c)
}

func allPlain(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(c rune) bool { return !isPlain(c) })
}

// ShellQuote makes text one word of a POSIX shell, for commands that a person may copy.
func ShellQuote(text string) string {
	if allPlain(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// bashWord quotes text for bash; one with control characters as $'…', so that it stays in
// its line.
func bashWord(text string) string {
	if !strings.ContainsFunc(text, isControl) {
		return ShellQuote(text)
	}
	var b strings.Builder
	b.WriteString("$'")
	for i := range len(text) { // bytes: a path need not be UTF-8
		switch c := text[i]; {
		case isControl(rune(c)):
			fmt.Fprintf(&b, `\%03o`, c)
		case c == '\'' || c == '\\':
			b.WriteString(`\` + string(c))
		default:
			b.WriteByte(c)
		}
	}
	return b.String() + "'"
}

// sbatchWord quotes text, in --NAME=VALUE the value, for a line that begins with #SBATCH.
// There backslashes escape within quotes, but do not join words without.
func sbatchWord(text string) string {
	if allPlain(text) {
		return text
	}
	name, value, ok := strings.Cut(text, "=")
	if !ok || !allPlain(name) {
		name, value = "", text
	} else {
		name += "="
	}
	return name + `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
}

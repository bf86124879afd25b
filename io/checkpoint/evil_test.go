package checkpoint

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"
)

// evilPickles would run a command, each by another operation, or eat the machine, if they were more than data. VICTIM is a
// file that the command would make.
var evilPickles = map[string]string{
	"os.system by REDUCE":         "\x80\x02cos\nsystem\nX\x0c\x00\x00\x00touch VICTIM\x85R.",
	"builtins.eval":               "\x80\x02cbuiltins\neval\nX\x2a\x00\x00\x00__import__('os').system('touch VICTIM') #1\x85R.",
	"posix.system by INST":        "(S'touch VICTIM'\niposix\nsystem\n.",
	"os.system by OBJ":            "(cos\nsystem\nS'touch VICTIM'\no.",
	"subprocess by NEWOBJ":        "\x80\x02csubprocess\nPopen\n]X\x05\x00\x00\x00touchaX\x06\x00\x00\x00VICTIMa\x85\x81.",
	"os.system by STACK_GLOBAL":   "\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0ctouch VICTIM\x85R.",
	"a call of a call's result":   "\x80\x02cbuiltins\ngetattr\ncbuiltins\n__import__\nX\x02\x00\x00\x00os\x85RX\x06\x00\x00\x00system\x86RX\x0c\x00\x00\x00touch VICTIM\x85R.",
	"__setstate__ by BUILD":       "\x80\x02c__main__\nX\n)\x81}X\x0c\x00\x00\x00__setstate__cos\nsystem\nsbX\x0c\x00\x00\x00touch VICTIMb.",
	"beside an OrderedDict":       "\x80\x02ccollections\nOrderedDict\n]cos\nsystem\nX\x0c\x00\x00\x00touch VICTIM\x85Ra\x85R.",
	"an extension code":           "\x80\x02\x82\x01X\x0c\x00\x00\x00touch VICTIM\x85R.",
	"a list that holds itself":    "\x80\x02]q\x00h\x00a.",
	"a dict that holds itself":    "\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.",
	"an OrderedDict of itself":    "\x80\x02ccollections\nOrderedDict\n)Rq\x00X\x0a\x00\x00\x00state_dicth\x00s.",
	"an object that holds itself": "\x80\x02c__main__\nX\n)\x81q\x00}X\x01\x00\x00\x00ah\x00sb.",
	"lists in lists":              "\x80\x02" + strings.Repeat("]", 1<<17) + strings.Repeat("a", 1<<17-1) + ".",
	"tuples in tuples":            "\x80\x02)" + strings.Repeat("\x85", 1<<17) + ".",
	"dicts in dicts":              "\x80\x02" + strings.Repeat("}X\x01\x00\x00\x00a", 1<<16) + "N" + strings.Repeat("s", 1<<16) + ".",
	"state dicts in state dicts":  "\x80\x02" + strings.Repeat("}X\x0a\x00\x00\x00state_dict", 1<<16) + "}" + strings.Repeat("s", 1<<16) + ".",
	"a billion laughs":            "\x80\x02]q\x00" + strings.Repeat("(h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00lq\x00", 40) + ".",
	"laughing tuples":             "\x80\x02)q\x00" + strings.Repeat("h\x00h\x00\x86q\x00", 64) + ".",
	"laughing keys":               "\x80\x02)q\x000" + strings.Repeat("h\x00h\x00\x86q\x000", 64) + "}h\x00Nsh\x00Nsh\x00Ns.",
	"a set of itself":             "\x80\x04\x8fq\x00(h\x00\x90.",
	"a huge memo":                 "\x80\x02Nr\xff\xff\xff\xffj\xff\xff\xff\xff.",
	"a large memo, one by one":    "\x80\x02N" + strings.Repeat("\x94", 1<<17) + ".",
	"a number of many digits":     "I" + strings.Repeat("9", 60000) + "\n.",
	"a long of many digits":       "L" + strings.Repeat("9", 60000) + "L\n.",
}

// TestACheckpointIsDataAndNeverCode reads evil pickles in either container: all are refused in little time, and nothing is run.
func TestACheckpointIsDataAndNeverCode(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, pickle := range evilPickles {
		legacy := "\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}q\x00(X\x10\x00\x00\x00protocol_versionq\x01M\xe9\x03X\x0d\x00\x00\x00little_endianq\x02\x88X\x0a\x00\x00\x00type_sizesq\x03}u." +
			pickle + "\x80\x02]."
		for container, data := range map[string][]byte{
			"zip":    zipOf(t, map[string][]byte{"a/data.pkl": []byte(pickle), "a/version": []byte("3\n")}),
			"legacy": []byte(legacy), "alone": []byte(pickle),
		} {
			began := time.Now()
			file, err := decode(bytes.NewReader(data), int64(len(data)))
			if err == nil {
				t.Errorf("%s, %s: it gives %v", name, container, file)
			} else if len(err.Error()) > 2000 {
				t.Errorf("%s, %s: an error of %d bytes: %.500s", name, container, len(err.Error()), err)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("%s, %s: took %v", name, container, took)
			}
			if names, _ := os.ReadDir("."); len(names) > 0 {
				t.Fatalf("%s, %s: it ran: there is %q", name, container, names[0].Name())
			}
		}
	}
}

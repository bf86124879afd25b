// Command lsrun computes loss landscapes of neural networks as batch jobs.
//
// Each verb is a file; wire.go is where networks, runs and files meet.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"lsrun/shard"
)

func main() {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR2)
	go func() {
		by := <-signals
		signal.Stop(signals) // a second signal ends the program at once
		cancel(signalled{by})
	}()
	os.Exit(execute(ctx, os.Args, os.Stdout, os.Stderr))
}

// signalled is why the program's context was cancelled.
type signalled struct{ os.Signal }

func (s signalled) Error() string { return s.String() }

// execute runs the program and returns its exit code. When ctx is cancelled it finishes
// or drops what it is at, so that nothing is lost, and returns 75.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	out := &outlet{Writer: stdout}
	app := newApp(out, stderr)
	err := app.RunContext(ctx, arrange(app, args))
	if errors.Is(err, context.Canceled) { // by a signal, before there was anything to keep
		err = fmt.Errorf("%w: nothing is lost; the same command starts again", shard.ErrInterrupted)
	}
	if err == nil && out.err != nil {
		err = fmt.Errorf("what was printed is incomplete, all else is done: %w", out.err)
	}
	if err != nil {
		fmt.Fprintf(stderr, "lsrun: %v\n", err)
	}
	return exitCode(err)
}

// outlet is a writer that keeps its first error, so that nobody who prints need look.
type outlet struct {
	io.Writer
	err error
}

func (o *outlet) Write(data []byte) (int, error) {
	n, err := o.Writer.Write(data)
	if o.err == nil {
		o.err = err
	}
	return n, err
}

// beneath is the writer that out hands on to, which may be a terminal.
func beneath(out io.Writer) io.Writer {
	if o, ok := out.(*outlet); ok {
		return o.Writer
	}
	return out
}

func newApp(stdout, stderr io.Writer) *cli.App {
	misuse := func(_ *cli.Context, err error, _ bool) error { return usagef("%v", err) }
	app := &cli.App{
		Name:        "lsrun",
		Usage:       "loss landscapes of neural networks as batch jobs",
		Version:     version(),
		Description: exitCodes,
		Writer:      stdout,
		ErrWriter:   stderr,
		Commands: []*cli.Command{
			planCommand, runCommand, mergeCommand, plotCommand, webCommand, serveCommand, compareCommand, vtkCommand, csvCommand, pathCommand, hessianCommand,
			doctorCommand, sbatchCommand, submitCommand, cancelCommand, statusCommand, verifyCommand, inspectCommand, checkCommand,
			modelsCommand, benchCommand, demoCommand, trainCommand, exportCommand,
		},
		ExitErrHandler: func(*cli.Context, error) {},
		OnUsageError:   misuse,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usagef("unknown verb %q: lsrun --help lists them", c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
	}
	for _, command := range app.Commands {
		command.OnUsageError = misuse
		command.HideHelpCommand = true // else a run called h or help could not be named
	}
	return app
}

// version names the build and the arithmetic.
func version() string {
	build := "unknown build"
	if info, ok := debug.ReadBuildInfo(); ok {
		build = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				build = s.Value
			}
		}
	}
	return fmt.Sprintf("%s, arithmetic %d", build, evaluatorVersion)
}

// arrange moves flags before the arguments, because the library silently takes a flag
// behind an argument for another argument. What follows "--" stays where it is.
func arrange(app *cli.App, args []string) []string {
	if len(args) < 2 {
		return args
	}
	command := app.Command(args[1])
	if command == nil {
		return args
	}
	flags := append([]string{}, args[:2]...)
	var rest []string
	for i := 2; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--":
			rest = append(rest, args[i:]...)
			i = len(args)
		case len(arg) > 1 && arg[0] == '-':
			flags = append(flags, arg)
			if takesValue(command, arg) && i+1 < len(args) {
				i++
				flags = append(flags, args[i])
			}
		default:
			rest = append(rest, arg)
		}
	}
	return append(flags, rest...)
}

// takesValue reports whether arg names a flag whose value is the next argument.
func takesValue(command *cli.Command, arg string) bool {
	name := strings.TrimLeft(arg, "-")
	if strings.Contains(name, "=") {
		return false
	}
	for _, flag := range command.Flags {
		for _, known := range flag.Names() {
			if known == name {
				_, isBool := flag.(*cli.BoolFlag)
				return !isBool
			}
		}
	}
	return false
}

// oneArgument returns the only argument, a path, or a usage error that says what is wanted.
func oneArgument(c *cli.Context, what string) (string, error) {
	return onlyPath(c, c.Args().Slice(), what)
}

// runArgument opens the run whose folder is the only argument.
func runArgument(c *cli.Context) (*shard.Run, error) {
	dir, err := oneArgument(c, "a run directory")
	if err != nil {
		return nil, err
	}
	return shard.Open(files, dir)
}

// onlyPath is oneArgument for some of the arguments.
func onlyPath(c *cli.Context, args []string, what string) (string, error) {
	if len(args) != 1 || args[0] == "" {
		return "", usagef("%s needs one argument, %s, and got %d: %q", c.Command.Name, what, len(args), args)
	}
	return asArgument(args[0]), nil
}

// asArgument is a path that nobody takes for a flag, so that commands which are printed work.
func asArgument(path string) string {
	if strings.HasPrefix(path, "-") {
		return "./" + path
	}
	return path
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// child is another engine's program. It stays alive between the rounds and answers lines of JSON.
type child struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	errors  bytes.Buffer
	program string
}

func start(ctx context.Context, env []string, program string, args ...string) (*child, error) {
	c := &child{cmd: exec.CommandContext(ctx, program, args...), program: program}
	c.cmd.Env = append(os.Environ(), env...)
	c.cmd.Stderr = &c.errors
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewReader(out)
	return c, c.cmd.Start()
}

// ask sends a request and waits for its answer.
func (c *child) ask(request, answer any) error {
	line, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if _, err := c.in.Write(append(line, '\n')); err != nil {
		return c.died(err)
	}
	reply, err := c.out.ReadBytes('\n')
	if err != nil {
		return c.died(err)
	}
	if err := json.Unmarshal(reply, answer); err != nil {
		return fmt.Errorf("%s answers %.100q: %w", c.program, reply, err)
	}
	return nil
}

// died tells why, in the child's own last words.
func (c *child) died(err error) error {
	c.close()
	words := c.errors.Bytes()
	return fmt.Errorf("%s ended (%w): %s", c.program, err, words[max(0, len(words)-2000):])
}

// close ends the child: it reads to the end of its input.
func (c *child) close() {
	c.in.Close()
	c.cmd.Wait()
}

// request is what a child is asked.
type request struct {
	Do      string `json:"do"`
	Variant string `json:"variant,omitempty"`
	turn
}

func (c *child) run(variant string) func(context.Context, turn) (time.Duration, error) {
	return func(_ context.Context, t turn) (time.Duration, error) {
		var answer struct{ Seconds float64 }
		err := c.ask(request{"run", variant, t}, &answer)
		return time.Duration(answer.Seconds * float64(time.Second)), err
	}
}

func (c *child) logits(variant string) func(context.Context, int) ([]float64, error) {
	return func(_ context.Context, images int) ([]float64, error) {
		var answer struct{ Logits []float64 }
		err := c.ask(map[string]any{"do": "logits", "variant": variant, "images": images}, &answer)
		return answer.Logits, err
	}
}

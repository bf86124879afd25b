package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"lsrun/io/h5"
	"lsrun/io/web"
	"lsrun/shard"
)

var serveCommand = &cli.Command{
	Name:      "serve",
	Usage:     "show a run while it fills in, in a browser",
	ArgsUsage: "RUN",
	Description: `The page is that of lsrun web, with the status above it. Nothing in the run is changed. Only this
machine can reach it unless --listen says otherwise; there is no password.`,
	Flags: []cli.Flag{
		&cli.StringFlag{Name: "listen", Value: "127.0.0.1:0", Usage: "serve at `ADDRESS:PORT`; port 0 is any that is free"},
	},
	Action: serveAction,
}

func serveAction(c *cli.Context) error {
	run, err := runArgument(c)
	if err != nil {
		return err
	}
	page, err := web.LivePage(run.Dir)
	if err != nil {
		return err
	}
	address := c.String("listen")
	name, _, err := net.SplitHostPort(address)
	if err != nil {
		return usagef("--listen %s: it is not ADDRESS:PORT, as in 127.0.0.1:8080", address)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listening for browsers: %w: choose another address with --listen", err)
	}
	server := http.Server{Handler: guard(name, &exhibit{ctx: c.Context, run: run, page: page, observer: newObserver()}), ReadHeaderTimeout: 10 * time.Second}
	fmt.Fprintf(c.App.Writer, "http://%s/ shows %s; Ctrl-C ends\n", listener.Addr(), run.Dir)
	over := make(chan error, 1)
	go func() { over <- server.Serve(listener) }()
	select {
	case err := <-over:
		return err
	case <-c.Context.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if server.Shutdown(ctx) != nil { // somebody reads slowly
		server.Close()
	}
	return nil
}

// guard lets reading requests through that name this server as its own users do: a page of somebody else's that has its
// own name point to this machine (DNS rebinding) sends that name.
func guard(listening string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Content-Security-Policy", "frame-ancestors 'none'")
		header.Set("Referrer-Policy", "no-referrer")
		switch {
		case !ours(r.Host, listening):
			http.Error(w, "this is lsrun serve, under another name: use the address that it printed", http.StatusMisdirectedRequest)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			header.Set("Allow", "GET, HEAD")
			http.Error(w, "lsrun serve only shows", http.StatusMethodNotAllowed)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// ours reports whether a Host header is an IP address, localhost, this machine's name, or what --listen names.
func ours(host, listening string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	machine, err := os.Hostname()
	return net.ParseIP(host) != nil || host == "localhost" || host != "" && (host == strings.ToLower(listening) || err == nil && host == strings.ToLower(machine))
}

// exhibit answers browsers.
type exhibit struct {
	ctx      context.Context
	run      *shard.Run
	page     []byte
	observer *observer

	mu      sync.Mutex
	at      time.Time // of the last look
	took    time.Duration
	done    int           // points in the surface
	shown   []web.Surface // the surface; none before the first point
	problem string        // why there is none
	data    []byte
	tag     string // of data
}

func (e *exhibit) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(e.page)
	case "/data.json":
		e.serveData(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (e *exhibit) serveData(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.data == nil || time.Since(e.at) > max(watchPause, watchShare*e.took) {
		if err := e.look(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("ETag", e.tag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(e.data))
}

// look brings data up to date. The surface is joined anew where points have come.
func (e *exhibit) look() error {
	start := time.Now()
	s, q, err := e.observer.look(e.ctx, e.run)
	if err != nil {
		return err
	}
	if s.PointsDone != e.done || e.problem != "" {
		e.join(s.PointsDone)
	}
	status := web.Status{Points: s.Points, Done: s.PointsDone, Headline: headline(s), Problem: e.problem}
	if s.PointsDone == 0 && e.problem == "" {
		status.Problem = "No point is done yet"
	}
	var text bytes.Buffer
	writeStatus(&text, e.run, s, q)
	status.Text = text.String()
	data, err := web.Data(e.shown, &status)
	if err != nil { // such as a plane of one row
		status.Problem = err.Error()
		if data, err = web.Data(nil, &status); err != nil {
			return err
		}
	}
	e.data, e.tag = data, fmt.Sprintf("%q", fmt.Sprintf("%x", sha256.Sum256(data)))
	e.at, e.took = time.Now(), time.Since(start)
	return nil
}

// headline is a run's status in a line.
func headline(s *shard.RunStatus) string {
	text := fmt.Sprintf("%s, %d running%s", doneText(s), len(s.Running), speedText(s))
	if slow := slowHosts(s); slow != nil {
		text += "; slow: " + abridgedList(slow, 4)
	}
	if len(s.Failed) > 0 {
		text += "; attempts have failed"
	}
	return text
}

// join makes the surface of what is there, or notes why there is none.
func (e *exhibit) join(done int) {
	surface, _, err := shard.Merge(e.run, h5.Codec{}, shard.MergeOptions{AllowPartial: true, ReadOnly: true})
	if err != nil {
		e.problem = "There is no surface to show: " + err.Error()
		return
	}
	addRatios(surface)
	e.shown, e.done, e.problem = []web.Surface{webSurface(e.run.Dir, surface)}, done, ""
}

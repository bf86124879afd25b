package web

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdpage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// chromium is the browser of all tests, drawing by its software renderer.
var chromium struct {
	ctx  context.Context
	stop func()
	once sync.Once
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if chromium.stop != nil {
		chromium.stop()
	}
	os.Exit(code)
}

func startChromium() {
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, // which root has not
		chromedp.DisableGPU,
		chromedp.Flag("enable-unsafe-swiftshader", true), // WebGL without a card
		chromedp.WSURLReadTimeout(time.Minute))
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, stop := chromedp.NewContext(allocator)
	chromium.ctx, chromium.stop = ctx, func() { stop(); stopAllocator() }
	chromium.err = chromedp.Do(ctx)
}

// tab is a page in the browser, and what it has done so far.
type tab struct {
	*testing.T
	ctx context.Context

	mu       sync.Mutex
	requests []string
	errors   []string
}

// viewport is what a page is seen through.
type viewport struct {
	width, height int64
	dark, touch   bool
}

var desktop, small = viewport{width: 1280, height: 800}, viewport{width: 840, height: 560}

// open opens a page in a tab of its own; the test fails if the page reports an error until its end.
func open(t *testing.T, url string, v viewport) *tab {
	t.Helper()
	chromium.once.Do(startChromium)
	if chromium.err != nil {
		t.Fatalf("starting Chromium (Debian's package chromium): %v", chromium.err)
	}
	b := &tab{T: t}
	ctx, closeTab := chromedp.NewContext(chromium.ctx, chromedp.WithListener(b.listen))
	var cancel func()
	b.ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(func() {
		b.mu.Lock()
		for _, text := range b.errors {
			t.Errorf("the page reports: %s", text)
		}
		b.mu.Unlock()
		cancel()
		closeTab()
	})
	scheme := "light"
	if v.dark {
		scheme = "dark"
	}
	call(b, network.Enable, network.EnableParams{})
	call(b, log.Enable, cdp.Empty{})
	call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: v.width, Height: v.height, DeviceScaleFactor: 1, Mobile: v.touch})
	call(b, emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{Enabled: v.touch})
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	b.do(chromedp.Navigate(url))
	b.settle()
	return b
}

func (b *tab) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	case *runtime.EventExceptionThrown:
		b.errors = append(b.errors, e.ExceptionDetails.Text+" "+e.ExceptionDetails.Exception.Description)
	case *log.EventEntryAdded:
		// Without a card the browser itself reads WebGL's pixels, and complains of its own reading.
		own := strings.Contains(e.Entry.Text, "GPU stall due to ReadPixels")
		if (e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning) && !own {
			b.errors = append(b.errors, fmt.Sprintf("%s: %s", e.Entry.Source, e.Entry.Text))
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			for _, arg := range e.Args {
				b.errors = append(b.errors, fmt.Sprintf("console: %s%s", arg.Value, arg.Description))
			}
		}
	}
}

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.Fatal(err)
	}
}

// call is a command of the browser's protocol.
func call[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.Helper()
	result, err := chromedp.Call(b.ctx, command, params)
	if err != nil {
		b.Fatal(err)
	}
	return result
}

// eval is what a script gives in the page.
func eval[T any](b *tab, script string) T {
	b.Helper()
	result, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		b.Fatal(err)
	}
	return result
}

// settle waits until the picture stands and is as fine as it becomes.
func (b *tab) settle() {
	b.Helper()
	eval[bool](b, `new Promise((done) => {
		const stage = document.getElementById("stage"), start = performance.now();
		const look = () => {
			const coarse = stage && !stage.hidden && stage.clientWidth > 0 && stage.width < 1.4 * stage.clientWidth;
			if (coarse && performance.now() - start < 10000) setTimeout(look, 50);
			else requestAnimationFrame(() => requestAnimationFrame(() => done(true)));
		};
		setTimeout(look, 60);
	})`)
}

// text is what an element says.
func (b *tab) text(selector string) string {
	b.Helper()
	return eval[string](b, fmt.Sprintf("document.querySelector(%q).textContent", selector))
}

// set gives controls values as their user does: "log=true" is the value of the control with the id log.
func (b *tab) set(assignments ...string) {
	b.Helper()
	for _, assignment := range assignments {
		id, value, _ := strings.Cut(assignment, "=")
		eval[bool](b, fmt.Sprintf(`(() => {
			const control = document.getElementById(%q);
			if (control.type === "checkbox") control.checked = %[2]q === "true";
			else control.value = %[2]q;
			control.dispatchEvent(new Event("input", { bubbles: true }));
			control.dispatchEvent(new Event("change", { bubbles: true }));
			return true;
		})()`, id, value))
	}
	b.settle()
}

// picture is a screenshot of an element that is in view.
func (b *tab) picture(selector string) image.Image {
	b.Helper()
	clip := eval[cdpage.Viewport](b, fmt.Sprintf(`(({x, y, width, height}) => ({x: x + scrollX, y: y + scrollY, width, height, scale: 1}))(document.querySelector(%q).getBoundingClientRect())`, selector))
	shot := call(b, cdpage.CaptureScreenshot, cdpage.CaptureScreenshotParams{Clip: &clip})
	img, err := png.Decode(bytes.NewReader(shot.Data))
	if err != nil {
		b.Fatal(err)
	}
	return img
}

// keep writes a screenshot to build/screenshots, for people.
func (b *tab) keep(name string) {
	b.Helper()
	shot := call(b, cdpage.CaptureScreenshot, cdpage.CaptureScreenshotParams{})
	folder := filepath.Join("..", "..", "build", "screenshots")
	if err := os.MkdirAll(folder, 0o777); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, name+".png"), shot.Data, 0o666); err != nil {
		b.Fatal(err)
	}
}

// changed is the part of the pixels in which two pictures differ visibly: all, if their sizes do.
func changed(a, b image.Image) float64 {
	if a.Bounds() != b.Bounds() {
		return 1
	}
	n, r := 0, a.Bounds()
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			if visiblyDifferent(a, b, x, y) {
				n++
			}
		}
	}
	return float64(n) / float64(r.Dx()*r.Dy())
}

func visiblyDifferent(a, b image.Image, x, y int) bool {
	r0, g0, b0, _ := a.At(x, y).RGBA()
	r1, g1, b1, _ := b.At(x, y).RGBA()
	for _, d := range []int{int(r0) - int(r1), int(g0) - int(g1), int(b0) - int(b1)} {
		if d > 0x1000 || d < -0x1000 {
			return true
		}
	}
	return false
}

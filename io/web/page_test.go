package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/input"
	cdpage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"lsrun/shard"
)

// drag moves the mouse with its button down, in parts of the stage.
func (b *tab) drag(x0, y0, x1, y1 float64) {
	b.Helper()
	box := b.box("#stage")
	at := func(x, y float64) (float64, float64) { return box[0] + x*box[2], box[1] + y*box[3] }
	fx, fy := at(x0, y0)
	b.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, fx, fy),
		chromedp.MouseEvent(input.DispatchMouseEventTypeMousePressed, fx, fy, chromedp.ButtonLeft, chromedp.ClickCount(1)))
	for _, s := range []float64{0.3, 0.6, 1} {
		px, py := at(x0+s*(x1-x0), y0+s*(y1-y0))
		b.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, px, py, chromedp.ButtonLeft))
		eval[bool](b, `new Promise((done) => requestAnimationFrame(() => done(true)))`)
	}
	tx, ty := at(x1, y1)
	b.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseReleased, tx, ty, chromedp.ButtonLeft, chromedp.ClickCount(1)))
	b.settle()
}

// point moves the mouse over a part of the stage, and click presses its button there.
func (b *tab) point(x, y float64) {
	b.Helper()
	box := b.box("#stage")
	b.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, box[0]+x*box[2], box[1]+y*box[3]))
	b.settle()
}

func (b *tab) click(x, y float64) {
	b.Helper()
	box := b.box("#stage")
	b.do(chromedp.MouseClickXY(box[0]+x*box[2], box[1]+y*box[3]))
	b.settle()
}

// box is where an element is: left, top, width, height.
func (b *tab) box(selector string) []float64 {
	b.Helper()
	return eval[[]float64](b, fmt.Sprintf(`(({x, y, width, height}) => [x, y, width, height])(document.querySelector(%q).getBoundingClientRect())`, selector))
}

func (b *tab) press(selector string) {
	b.Helper()
	eval[bool](b, fmt.Sprintf(`(document.querySelector(%q).click(), true)`, selector))
	b.settle()
}

// keys gives keys to the stage, with Shift where their names begin with it.
func (b *tab) keys(names ...string) {
	b.Helper()
	for _, name := range names {
		key, shift := strings.CutPrefix(name, "Shift+")
		eval[bool](b, fmt.Sprintf(`(document.querySelector("#stage").dispatchEvent(new KeyboardEvent("keydown", {key: %q, shiftKey: %v, cancelable: true})), true)`, key, shift))
	}
	b.settle()
}

// fromAbove are the keys that look straight down.
var fromAbove = slices.Repeat([]string{"ArrowUp"}, 20)

// rows are the terms and values of a list.
func (b *tab) rows(selector string) map[string]string {
	b.Helper()
	pairs := eval[[][]string](b, fmt.Sprintf(`[...document.querySelectorAll("%s dt")].map((dt) => [dt.textContent, dt.nextSibling.textContent])`, selector))
	rows := map[string]string{}
	for _, pair := range pairs {
		rows[pair[0]] = pair[1]
	}
	return rows
}

// number is what the page writes for people.
func number(t *testing.T, text string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(strings.Fields(strings.ReplaceAll(text, "−", "-"))[0], 64)
	if err != nil {
		t.Fatalf("%q is no number", text)
	}
	return v
}

// share is the part of a picture's pixels that are like a colour.
func share(img image.Image, like color.RGBA) float64 {
	n, r := 0, img.Bounds()
	flat := image.NewUniform(like)
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			if !visiblyDifferent(img, flat, x, y) {
				n++
			}
		}
	}
	return float64(n) / float64(r.Dx()*r.Dy())
}

// colours is how many clearly different colours a picture has.
func colours(img image.Image) int {
	seen := map[[3]uint32]bool{}
	for y := img.Bounds().Min.Y; y < img.Bounds().Max.Y; y += 2 {
		for x := img.Bounds().Min.X; x < img.Bounds().Max.X; x += 2 {
			r, g, b, _ := img.At(x, y).RGBA()
			seen[[3]uint32{r >> 12, g >> 12, b >> 12}] = true
		}
	}
	return len(seen)
}

func TestAPageDrawsTurnsAndAsksNobody(t *testing.T) {
	url := write(t, "resnet20, model_8.t7", Surface{Name: "surface.h5", Surface: bowl(101, 61), Caption: caption, Paths: []Path{descent}})
	b := open(t, url, desktop)
	b.keep("desktop")
	before := b.picture("#stage")
	if n := colours(before); n < 60 {
		t.Errorf("the picture has %d colours: it shows no surface", n)
	}
	b.drag(0.2, 0.2, 0.45, 0.3)
	if part := changed(before, b.picture("#stage")); part < 0.1 {
		t.Errorf("turning by the mouse changes %.3f of the picture", part)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, request := range b.requests {
		if request != url && request != "data:," {
			t.Errorf("the page requests %s", request)
		}
	}
	if !slices.Contains(b.requests, url) {
		t.Errorf("requests are not seen: %v", b.requests)
	}
}

// TestEveryControlActs uses each control, and holds what it changes.
func TestEveryControlActs(t *testing.T) {
	other := bowl(31, 31)
	for k := range other.Layers[0].Values {
		other.Layers[0].Values[k] *= 3
	}
	b := open(t, write(t, "bowl", Surface{Name: "left.h5", Surface: bowl(51, 31), Caption: caption, Paths: []Path{descent}},
		Surface{Name: "right.h5", Surface: other, Caption: caption}), small)
	used := map[string]bool{}
	before := b.picture("#view")
	act := func(id string, do func()) { // changes the picture
		t.Helper()
		used[id] = true
		do()
		after := b.picture("#view")
		if part := changed(before, after); part < 0.0005 {
			t.Errorf("%s changes %.5f of the picture", id, part)
		}
		before = after
	}
	set := func(id, value string) { t.Helper(); act(id, func() { b.set(id + "=" + value) }) }
	set("common", "false")
	set("common", "true")
	set("right", "")
	set("left", "1")
	set("left", "0")
	set("path", "false")
	set("path", "true")
	set("metric", "train_acc")
	if text := b.text("#caption"); !strings.Contains(text, "(train_acc)") {
		t.Errorf("the caption is %q", text)
	}
	set("metric", "train_loss")
	set("log", "false")
	set("clip", "60")
	values := slices.Sorted(slices.Values(bowl(51, 31).Layers[0].Values))
	if got, want := number(t, strings.TrimPrefix(b.text("#clip-value"), "at ")), values[int(math.Round(0.6*float64(len(values)-1)))]; math.Abs(got/want-1) > 1e-3 {
		t.Errorf("60 per cent of the points are clipped at %g, want %g", got, want)
	}
	set("clip", "100")
	set("log", "true")
	set("lines", "0")
	set("lines", "30")
	if text := b.text("#lines-value"); !strings.HasPrefix(text, "×") {
		t.Errorf("contour lines on a logarithmic scale are %q apart", text)
	}
	set("colours", "magma")
	b.set("x0=-1", "y0=0", "x1=1")
	used["x0"], used["y0"], used["x1"] = true, true, true
	set("y1", "0.3")
	act("clear", func() { b.press("#clear") })
	act("draw", func() { b.press("#draw"); b.drag(0.4, 0.55, 0.6, 0.6) })
	if b.box("#section-figure")[2] == 0 || colours(b.picture("#section-chart")) < 5 {
		t.Error("a section that is drawn has no curve")
	}
	act("Escape", func() { b.keys("Escape") })
	set("theme", "dark")
	if got := eval[string](b, `getComputedStyle(document.body).backgroundColor`); got != "rgb(20, 23, 26)" {
		t.Errorf("the dark theme's ground is %s", got)
	}
	act("ArrowLeft", func() { b.keys("ArrowLeft", "ArrowLeft", "ArrowUp") })
	act("+", func() { b.keys("+", "+", "+") })
	act("wheel", func() {
		box := b.box("#stage")
		call(b, input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: input.DispatchMouseEventTypeMouseWheel, X: box[0] + box[2]/2, Y: box[1] + box[3]/2, DeltaX: 1, DeltaY: 200})
		b.settle()
	})
	turned := b.picture("#stage")
	act("reset", func() { b.press("#reset") })
	if changed(turned, b.picture("#stage")) < 0.05 {
		t.Error("reset does not turn the surface back")
	}
	act("click", func() { b.click(0.5, 0.6) })
	if len(b.rows("#mark-values")) < 4 {
		t.Errorf("the marked point has %v", b.rows("#mark-values"))
	}
	act("point", func() { b.point(0.45, 0.62) })
	if rows := b.rows("#readout"); rows["train loss"] == "" || rows["α"] == "" {
		t.Errorf("values under the pointer: %v", rows)
	}
	used["save"] = true // TestThePictureIsSaved
	for _, id := range eval[[]string](b, `[...document.querySelectorAll("select, input, button")].map((control) => control.id)`) {
		if !used[id] {
			t.Errorf("the control %q was not tried", id)
		}
	}
}

func TestThePictureIsSaved(t *testing.T) {
	plane := bowl(31, 21)
	line := &shard.Surface{X: plane.X, Layers: []shard.Layer{{Name: "train_loss", Values: plane.Layers[0].Values[:31]}}}
	for what, c := range map[string]struct {
		surface *shard.Surface
		canvas  string
		colours int
	}{"plane": {plane, "#stage", 60}, "line": {line, "#line", 4}} {
		b := open(t, write(t, "resnet20 ../"+what, Surface{Name: "surface.h5", Surface: c.surface, Caption: caption}), small)
		folder := t.TempDir()
		if _, err := chromedp.CallBrowser(chromium.ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: folder}); err != nil {
			t.Fatal(err)
		}
		b.press("#save")
		img := b.saved(filepath.Join(folder, "resnet20_.._"+what+"_train_loss.png"))
		box := b.box(c.canvas)
		if size := img.Bounds().Size(); size.X != int(2*box[2]) || size.Y <= int(2*box[3]) {
			t.Errorf("the picture of a %s has %v for a drawing of %v and a caption", what, size, box[2:])
		}
		if n := colours(img); n < c.colours {
			t.Errorf("the picture of a %s has %d colours", what, n)
		}
	}
}

// saved is a picture that the browser is about to save.
func (b *tab) saved(path string) image.Image {
	b.Helper()
	for range 100 {
		if data, err := os.ReadFile(path); err == nil {
			if img, err := png.Decode(bytes.NewReader(data)); err == nil {
				return img
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	there, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	b.Fatalf("no picture %s was saved, but %v, %v", path, there, err)
	return nil
}

func TestTextsOfASurfaceDoNothing(t *testing.T) {
	s := bowl(7, 5)
	s.Layers[1].Name = evil
	b := open(t, write(t, evil, Surface{Name: evil, Surface: s, Caption: func(string) string { return evil }, Paths: []Path{{Name: evil, X: []float64{0}, Y: []float64{0}}}},
		Surface{Name: evil, Surface: bowl(5, 5)}), small)
	b.set("metric="+evil, "right=1")
	b.click(0.5, 0.6)
	if eval[bool](b, `"evil" in window`) || eval[int](b, `document.images.length`) != 0 {
		t.Error("a text ran")
	}
	if title := eval[string](b, `document.querySelector("h1").textContent`); title != evil {
		t.Errorf("the title is %q, want %q", title, evil)
	}
	if text := b.text("#caption"); !strings.Contains(text, evil) {
		t.Errorf("the caption is %q", text)
	}
}

// holed is a plane of 6 × 4 points with every kind of hole.
func holed() *shard.Surface {
	s := &shard.Surface{X: []float64{0, 1, 2, 3, 4, 5}, Y: []float64{10, 20, 30, 40}}
	l := shard.Layer{Name: "test_loss"}
	for j, y := range s.Y {
		for i, x := range s.X {
			v, status := x+y, shard.Done
			switch [2]int{i, j} {
			case [2]int{0, 0}:
				v, status = math.NaN(), shard.NaN
			case [2]int{5, 0}:
				v, status = math.Inf(1), shard.Inf
			case [2]int{0, 3}:
				v, status = math.Inf(-1), shard.Inf
			case [2]int{5, 3}:
				v, status = math.NaN(), shard.Missing
			}
			l.Values, l.Status = append(l.Values, v), append(l.Status, status)
		}
	}
	s.Layers = []shard.Layer{l}
	return s
}

func TestHolesAreShownAndYIsTheFirstAxis(t *testing.T) {
	b := open(t, write(t, "holes", Surface{Name: "surface.h5", Surface: holed()}), desktop)
	b.keep("holes")
	b.keys(fromAbove...)
	stage := b.picture("#view")
	for kind, like := range map[string]color.RGBA{"NaN": {0x9a, 0xa0, 0xa6, 255}, "+∞": {0xd6, 0x27, 0x5a, 255}, "−∞": {0x3f, 0x6f, 0xd8, 255}, "missing": {0xcb, 0xbf, 0x9b, 255}} {
		if part := share(stage, like); part < 0.0005 {
			t.Errorf("%s: %.5f of the picture has its colour", kind, part)
		}
	}
	b.keys("Shift+ArrowRight") // from the middle, which is nearest to (2, 20), to (3, 20)
	rows := b.rows("#mark-values")
	if number(t, rows["α"]) != 3 || number(t, rows["β"]) != 20 || number(t, rows["test loss"]) != 23 {
		t.Errorf("the mark is at %v, want 23 at (3, 20)", rows)
	}
	b.keys("Shift+ArrowRight", "Shift+ArrowUp", "Shift+ArrowRight", "Shift+ArrowUp")
	if rows := b.rows("#mark-values"); number(t, rows["α"]) != 5 || number(t, rows["β"]) != 40 || rows["test loss"] != "missing" {
		t.Errorf("the mark is at %v, want what is missing at (5, 40)", rows)
	}
	b.keys(slices.Repeat([]string{"Shift+ArrowLeft"}, 5)...)
	if rows := b.rows("#mark-values"); rows["test loss"] != "−∞" {
		t.Errorf("the mark is at %v, want −∞ at (0, 40)", rows)
	}
}

func TestAPlaneWithoutFiniteValuesIsAllHoles(t *testing.T) {
	s := bowl(9, 7)
	for k := range s.Layers[0].Values {
		s.Layers[0].Values[k], s.Layers[0].Status[k] = math.NaN(), shard.NaN
	}
	b := open(t, write(t, "nothing", Surface{Name: "surface.h5", Surface: s}), small)
	if part := share(b.picture("#view"), color.RGBA{0x9a, 0xa0, 0xa6, 255}); part < 0.05 {
		t.Errorf("%.4f of the picture has the colour of NaN", part)
	}
	b.set("log=true")
	b.point(0.5, 0.6)
	if rows := b.rows("#readout"); rows["train loss"] != "NaN" {
		t.Errorf("under the pointer is %v", rows)
	}
}

func TestValuesOfAllSizesAreDrawn(t *testing.T) {
	s := bowl(11, 11)
	s.Layers = nil
	for _, values := range []func(float64) float64{
		func(float64) float64 { return 2.5 },
		func(r float64) float64 { return math.Pow(10, 300*r) },
		func(r float64) float64 { return math.MaxFloat64 * (2*min(r, 1) - 1) },
		func(r float64) float64 { return 1 + 1e-12*r },
		func(r float64) float64 { return -r },
	} {
		l := shard.Layer{Name: fmt.Sprintf("metric_%d_loss", len(s.Layers))}
		for k := range 121 {
			l.Values = append(l.Values, values(math.Hypot(s.X[k%11], s.Y[k/11])))
		}
		s.Layers = append(s.Layers, l)
	}
	b := open(t, write(t, "sizes", Surface{Name: "surface.h5", Surface: s}), small)
	for _, l := range s.Layers {
		for _, log := range []string{"false", "true"} {
			b.set("metric="+l.Name, "log="+log, "clip=50")
			b.click(0.5, 0.6)
			b.mu.Lock()
			errors := len(b.errors)
			b.mu.Unlock()
			if errors > 0 {
				t.Fatalf("drawing %s, logarithmic %s, is an error", l.Name, log)
			}
		}
	}
}

func TestTwoSurfacesTurnTogether(t *testing.T) {
	other := bowl(41, 41)
	for k := range other.Layers[0].Values {
		other.Layers[0].Values[k] = 0.02 * math.Pow(10, 4*other.X[k%41]*other.X[k%41])
	}
	b := open(t, write(t, "With and without skip connections", Surface{Name: "resnet56/surface.h5", Surface: bowl(61, 41), Caption: caption, Paths: []Path{descent}},
		Surface{Name: "resnet56_noshort/surface.h5", Surface: other, Caption: caption}), desktop)
	b.set("x0=-0.9", "y0=-0.4", "x1=0.9", "y1=0.4")
	b.keep("two-surfaces")
	before := b.picture("#stage")
	b.keys("ArrowLeft", "ArrowLeft")
	after := b.picture("#stage")
	middle := before.Bounds().Dx() / 2
	for side, half := range map[string]image.Rectangle{
		"left":  image.Rect(0, 0, middle, before.Bounds().Dy()),
		"right": image.Rect(middle, 0, 2*middle, before.Bounds().Dy()),
	} {
		cut := func(img image.Image) image.Image {
			return img.(interface {
				SubImage(image.Rectangle) image.Image
			}).SubImage(half)
		}
		if part := changed(cut(before), cut(after)); part < 0.05 {
			t.Errorf("turning changes %.4f of the %s surface", part, side)
		}
	}
}

func TestThePageFitsAPhone(t *testing.T) {
	density := Density{X: 0, Y: 0, Nodes: []float64{-2, 0.1, 3, 40}, Weights: []float64{0.001, 0.95, 0.04, 0.009}}
	b := open(t, write(t, "resnet20, model_8.t7", Surface{Name: "surface.h5", Surface: bowl(51, 31), Caption: caption, Paths: []Path{descent}, Densities: []Density{density}}),
		viewport{width: 390, height: 844, dark: true, touch: true})
	if over := eval[float64](b, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
		t.Errorf("the page is %g pixels wider than the phone", over)
	}
	before := b.picture("#stage")
	if n := colours(before); n < 40 {
		t.Errorf("the picture has %d colours", n)
	}
	box := b.box("#stage")
	touch := func(kind input.DispatchTouchEventType, x, y float64) {
		var points []*input.TouchPoint
		if kind != input.DispatchTouchEventTypeTouchEnd {
			points = []*input.TouchPoint{{X: x, Y: y}}
		}
		call(b, input.DispatchTouchEvent, input.DispatchTouchEventParams{Type: kind, TouchPoints: points})
	}
	x, y := box[0]+box[2]/2, box[1]+box[3]/2
	touch(input.DispatchTouchEventTypeTouchStart, x, y)
	for d := 20.0; d <= 120; d += 20 {
		touch(input.DispatchTouchEventTypeTouchMove, x+d, y)
	}
	touch(input.DispatchTouchEventTypeTouchEnd, 0, 0)
	b.settle()
	if part := changed(before, b.picture("#stage")); part < 0.05 {
		t.Errorf("a finger changes %.4f of the picture", part)
	}
	b.do(chromedp.TapXY(x, y))
	b.settle()
	if rows := b.rows("#mark-values"); rows["train loss"] == "" {
		t.Errorf("a tap marks %v", rows)
	}
	b.keep("phone")
	eval[bool](b, `(document.querySelector("#controls").scrollIntoView(), true)`)
	b.settle()
	b.keep("phone-controls")
}

func TestTheDensityAtTheMarkedPointIsDrawn(t *testing.T) {
	density := Density{X: 0, Y: 0, Nodes: []float64{-2, 0.1, 3, 40}, Weights: []float64{0.001, 0.95, 0.04, 0.009}}
	path := Path{Name: "adam", X: []float64{0.8, 0.3, 0.1, 1.4}, Y: []float64{-0.5, -0.3, 0, 0.3}}
	b := open(t, write(t, "resnet20, model_8.t7", Surface{Name: "surface.h5", Surface: bowl(51, 31), Caption: caption, Paths: []Path{descent, path}, Densities: []Density{density}}),
		viewport{width: 1280, height: 900, dark: true})
	// From above the checkpoint at (0, 0) is in the stage's middle, nearly.
	b.keys(fromAbove...)
	b.point(0.5, 0.5)
	if rows := b.rows("#readout"); rows["checkpoint"] != "sgd, epoch 30" {
		t.Errorf("over a checkpoint is %v", rows)
	}
	b.press("#reset")
	if b.box("#density")[2] != 0 {
		t.Error("a density is drawn before a point is marked")
	}
	b.keys("Shift+ArrowLeft")
	b.keep("dark-path-density")
	if n := colours(b.picture("#density")); n < 5 {
		t.Errorf("the density has %d colours", n)
	}
	without := open(t, write(t, "bowl", Surface{Name: "surface.h5", Surface: bowl(9, 9)}), small)
	without.keys("Shift+ArrowLeft")
	if without.box("#density")[2] != 0 {
		t.Error("a density is drawn where none was recorded")
	}
}

func TestLinesAreCurves(t *testing.T) {
	line := func(seed float64) *shard.Surface {
		s := &shard.Surface{}
		l, a := shard.Layer{Name: "train_loss"}, shard.Layer{Name: "train_acc"}
		for i := range 51 {
			x := -1 + 0.04*float64(i)
			v := 0.1 + seed*x*x
			if i == 5 {
				v = math.Inf(1)
			}
			s.X, l.Values, a.Values = append(s.X, x), append(l.Values, v), append(a.Values, 100*math.Exp(-v))
		}
		s.Layers = []shard.Layer{l, a}
		return s
	}
	b := open(t, write(t, "Two seeds", Surface{Name: "seed-1.h5", Surface: line(2), Caption: caption}, Surface{Name: "seed-2.h5", Surface: line(5)}), desktop)
	b.keep("lines")
	before := b.picture("#line")
	for _, like := range []color.RGBA{{0x2f, 0x6f, 0xde, 255}, {0xc9, 0x54, 0x1f, 255}} {
		if part := share(before, like); part < 0.0005 {
			t.Errorf("%.5f of the chart has a curve's colour %v", part, like)
		}
	}
	if text := b.text("#message"); !strings.Contains(text, "2 points have no place") {
		t.Errorf("of the infinite values it says %q", text)
	}
	b.set("metric=train_acc")
	if changed(before, b.picture("#line")) < 0.002 {
		t.Error("another metric has the same curves")
	}
	box := b.box("#line")
	b.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, box[0]+box[2]/2, box[1]+box[3]/2))
	b.settle()
	rows := b.rows("#readout")
	if rows["train loss"] == "" {
		t.Errorf("under the pointer is %v", rows)
	}
	eval[bool](b, `(document.querySelector("#line").dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" })), true)`)
	if next := b.rows("#readout"); math.Abs(number(t, next["α"])-number(t, rows["α"])-0.04) > 1e-9 {
		t.Errorf("a key goes from %s to %s", rows["α"], next["α"])
	}
}

func TestALivePageFollowsItsServer(t *testing.T) {
	live, err := LivePage("a run")
	if err != nil {
		t.Fatal(err)
	}
	var done atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			w.Header().Set("Content-Type", "text/html")
			w.Write(live)
			return
		}
		n := int(done.Load())
		status := Status{Points: 21 * 15, Done: n, Headline: fmt.Sprintf("%d of 315 points", n), Text: "hosts a b", Problem: "No point is done yet"}
		var surfaces []Surface
		if n > 0 {
			s := bowl(21, 15)
			for k := n; k < 315; k++ {
				s.Layers[0].Values[k], s.Layers[0].Status[k] = math.NaN(), shard.Missing
			}
			surfaces = append(surfaces, Surface{Name: "a run", Surface: s})
		}
		data, err := Data(surfaces, &status)
		if err != nil {
			t.Error(err)
		}
		w.Write(data)
	}))
	defer server.Close()
	b := open(t, server.URL, desktop)
	if got := b.text("#message"); got != "No point is done yet" {
		t.Errorf("before the first point it says %q", got)
	}
	wait := func(text string) {
		t.Helper()
		for range 100 {
			if b.text("#headline") == text {
				b.settle()
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Fatalf("the page never says %q, but %q", text, b.text("#headline"))
	}
	done.Store(200)
	wait("200 of 315 points")
	b.keep("live")
	half := b.picture("#view")
	b.keys("ArrowLeft", "ArrowRight")
	done.Store(315)
	wait("315 of 315 points")
	if part := changed(half, b.picture("#view")); part < 0.02 {
		t.Errorf("the rest of the points changes %.4f of the picture", part)
	}
	if text := b.text("#details"); text != "hosts a b" {
		t.Errorf("the details are %q", text)
	}
}

func TestWithoutWebGLThePageSaysSo(t *testing.T) {
	b := open(t, "about:blank", small)
	call(b, cdpage.AddScriptToEvaluateOnNewDocument, cdpage.AddScriptToEvaluateOnNewDocumentParams{
		Source: `const get = HTMLCanvasElement.prototype.getContext; HTMLCanvasElement.prototype.getContext = function (kind, ...rest) { return kind.startsWith("webgl") ? null : get.call(this, kind, ...rest); };`})
	b.do(chromedp.Navigate(write(t, "bowl", Surface{Name: "surface.h5", Surface: bowl(9, 9)})))
	if text := b.text("#message"); !strings.Contains(text, "no WebGL") || !strings.Contains(text, "lsrun plot") {
		t.Errorf("it says %q", text)
	}
	b.mu.Lock()
	b.errors = nil // the library tells the console of it, too
	b.mu.Unlock()
}

// turning turns the surface at every chance for three seconds, and gives the pictures a second that were drawn.
const turning = `new Promise((done) => {
	const gl = WebGL2RenderingContext.prototype, draw = gl.drawElements, stage = document.getElementById("stage");
	let drawn = false, pictures = 0, start = 0;
	gl.drawElements = function (...args) { drawn = true; return draw.apply(this, args); };
	const turn = (now) => {
		start ||= now + 2000; // by then it knows how fine it may draw
		if (drawn && now > start) pictures++;
		drawn = false;
		if (now - start > 3000) {
			gl.drawElements = draw;
			done(pictures / (now - start) * 1000);
			return;
		}
		stage.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
		requestAnimationFrame(turn);
	};
	requestAnimationFrame(turn);
})`

// TestALargeSurfaceTurnsFluently has no graphics card: pictures are drawn by the processor, coarsely while they move. LSRUN_LONG asks
// for what an idle machine of two cores reaches; beside other tests less is enough.
func TestALargeSurfaceTurnsFluently(t *testing.T) {
	least := 6.0
	if os.Getenv("LSRUN_LONG") != "" {
		least = 30
	}
	b := open(t, write(t, "large", Surface{Name: "surface.h5", Surface: bowl(201, 201)}), desktop)
	best := 0.0
	for range 3 {
		if best = max(best, eval[float64](b, turning)); best >= least {
			break
		}
	}
	t.Logf("%.1f pictures a second", best)
	if best < least {
		t.Errorf("a surface of 201 × 201 points turns at %.1f pictures a second, want %g", best, least)
	}
}

// inScript evaluates an expression of the page's script, without a page.
func inScript[T any](t *testing.T, expression string) T {
	t.Helper()
	b := open(t, "about:blank", desktop)
	source := ""
	for _, name := range []string{"numbers", "colours", "surface", "mesh"} {
		source += part("page/" + name + ".js")
	}
	return eval[T](b, "(() => {"+source+"\nreturn "+expression+";})()")
}

func TestNumbersAreWrittenForPeople(t *testing.T) {
	got := inScript[[]string](t, `[0, 0.25, -2, 1234.5678, 1e-7, -1e6, 2.5e10, NaN, Infinity, -Infinity].map((v) => written(v))`)
	want := []string{"0", "0.25", "−2", "1235", "10⁻⁷", "−10⁶", "2.5×10¹⁰", "NaN", "+∞", "−∞"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestTicksAreToldApart(t *testing.T) {
	got := inScript[[]string](t, `[[2.3066, 2.307, 2.3074], [0, 0.5, 1], [1, 1]].flatMap((ticks) => ticks.map((v) => written(v, digitsOf(ticks))))`)
	want := []string{"2.3066", "2.307", "2.3074", "0", "0.5", "1", "1", "1"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestScalesHaveRoundTicksAndLevels(t *testing.T) {
	got := inScript[[][]float64](t, `[new Scale(0, 1, false).ticks(5), new Scale(0.03, 400, true).ticks(6), new Scale(-1, 1, false).ticks(4), new Scale(2, 2.4, true).ticks(4)]`)
	for i, want := range [][]float64{{0, 0.2, 0.4, 0.6, 0.8, 1}, {0.1, 1, 10, 100}, {-1, -0.5, 0, 0.5, 1}, {2, 2.1, 2.2, 2.3, 2.4}} {
		if !slices.Equal(got[i], want) {
			t.Errorf("ticks %v, want %v", got[i], want)
		}
	}
	// The k-th level is at the norm (k + offset)·spacing: of 0.13 to 1.13 in steps of 0.1 at 0.2, 0.3, ….
	levels := inScript[[]float64](t, `(() => { const s = new Scale(0.13, 1.13, false), l = s.levels(10); return [2, 3].map((k) => s.value((k - 1 + l.offset) * l.spacing)); })()`)
	for k, v := range levels {
		if rest := math.Abs(v*10 - math.Round(v*10)); rest > 1e-9 {
			t.Errorf("level %d is %g, want a multiple of 0.1", k, v)
		}
	}
}

// TestTheMeshIsTheSurface holds the triangles of z = x + 2y on an uneven grid against the plane itself.
func TestTheMeshIsTheSurface(t *testing.T) {
	type result struct{ Worst, Area, CutArea, Highest, Between float64 }
	x, y := []float64{0, 1, 3, 4}, []float64{0, 2, 3}
	values := make([]float64, 0, 12)
	for _, b := range y {
		for _, a := range x {
			values = append(values, (a+2*b)/10) // heights from 0 to 1
		}
	}
	grid, err := json.Marshal(map[string]any{"x": x, "y": y, "heights": values})
	if err != nil {
		t.Fatal(err)
	}
	got := inScript[result](t, `(() => {
		const grid = `+string(grid)+`, place = new Place(grid);
		const meshAt = (raise) => { const g = { ...grid, heights: grid.heights.map((h) => h * raise) }; return meshOf({ ...g, normals: normalsOf({ ...g }, place) }, place); };
		const area = (mesh) => { // seen from above, in the surface's own coordinates
			let sum = 0;
			for (let k = 0; k < mesh.indices.length; k += 3) {
				const [a, b, c] = [0, 1, 2].map((i) => { const v = mesh.indices[k + i]; return [place.fromX(mesh.positions[3 * v]), place.fromY(mesh.positions[3 * v + 1])]; });
				sum += ((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])) / 2;
			}
			return sum;
		};
		const mesh = meshAt(1), cut = meshAt(2);
		let worst = 0;
		mesh.values.forEach((v, k) => { worst = Math.max(worst, Math.abs((place.fromX(mesh.positions[3 * k]) + 2 * place.fromY(mesh.positions[3 * k + 1])) / 10 - v)); });
		return { Worst: worst, Area: area(mesh), CutArea: area(cut), Highest: Math.max(...cut.values), Between: heightAt(grid, grid.heights, 2.3, 1.7) };
	})()`)
	if got.Worst > 1e-6 || math.Abs(got.Area-12) > 1e-5 {
		t.Errorf("vertices are off by %g, the area is %g, want 12", got.Worst, got.Area)
	}
	// At twice the height all above x + 2y = 5 is cut off: what stays of 4 × 3 has ∫ min(4, 5 − 2y) dy = 2 + 4 from 0 to 2.5, of it 4·0.5 and (16 − 0)/4.
	if want := 4*0.5 + 4.0; math.Abs(got.CutArea-want) > 1e-5 || got.Highest != 1 {
		t.Errorf("cut at height 1 the area is %g and the highest point %g, want %g and 1", got.CutArea, got.Highest, want)
	}
	if want := (2.3 + 2*1.7) / 10; math.Abs(got.Between-want) > 1e-12 {
		t.Errorf("between points the height is %g, want %g", got.Between, want)
	}
}

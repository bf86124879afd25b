// Package web writes surfaces as one page that needs a browser and nothing else: no network, no other file.
//
// The page holds three parts: surfaces as JSON (see Data), a kept WebGL library (three/, made by three/bundle.sh), and a
// script and a style of its own (page/, as they are read). Every text of a surface is data there: encoding/json and
// html/template escape it, the script only ever sets it as text, and a content security policy lets nothing run
// but the two scripts, by their hashes, and nothing be fetched.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"strings"
)

//go:generate sh three/bundle.sh

//go:embed page three/three.min.js three/LICENSE
var parts embed.FS

// scripts are concatenated to one module, in this order.
var scripts = []string{"numbers", "colours", "surface", "mesh", "chart", "annotations", "scene", "page"}

var page = template.Must(template.ParseFS(parts, "page/page.html"))

// Page returns a page that shows surfaces, planes beside planes or lines in one chart.
func Page(title string, surfaces []Surface) ([]byte, error) {
	if len(surfaces) == 0 {
		return nil, fmt.Errorf("a page needs a surface to show")
	}
	data, err := Data(surfaces, nil)
	if err != nil {
		return nil, err
	}
	return render(title, data, "connect-src 'none'")
}

// LivePage returns a page that asks the server it came from for data.json (see Data), again and again.
func LivePage(title string) ([]byte, error) {
	return render(title, []byte(`{"live":true}`), "connect-src 'self'")
}

func render(title string, data []byte, connect string) ([]byte, error) {
	style, library, script := part("page/page.css"), "/*\n"+part("three/LICENSE")+"*/\n"+part("three/three.min.js"), ""
	for _, name := range scripts {
		script += part("page/" + name + ".js")
	}
	policy := []string{"default-src 'none'", "script-src " + hash(library) + " " + hash(script), "style-src " + hash(style), "img-src data: blob:",
		connect, "base-uri 'none'", "form-action 'none'"}
	var out bytes.Buffer
	err := page.Execute(&out, map[string]any{
		"Title": title, "Policy": strings.Join(policy, "; "),
		"Style": template.CSS(style), "Library": template.JS(library), "Script": template.JS(script), "Data": template.JS(data),
	})
	if err != nil {
		return nil, fmt.Errorf("writing the page: %w", err)
	}
	return out.Bytes(), nil
}

func part(name string) string {
	text, err := parts.ReadFile(name)
	if err != nil {
		panic("web: a part of the page is not embedded")
	}
	return string(text)
}

// hash is what a content security policy calls a script or style.
func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

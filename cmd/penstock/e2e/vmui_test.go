package e2e

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// demo boots penstock with what `make demo` has: the simulated fleet, its
// enrichment and six hours of its past.
func demo(t *testing.T) *server {
	t.Helper()
	dir := t.TempDir()
	fleet := filepath.Join(dir, "fleet")
	if out, err := exec.Command("go", "build", "-o", fleet, "github.com/penstock-io/penstock/loadtest/cmd/fleet").CombinedOutput(); err != nil {
		t.Fatalf("cannot build fleet: %v\n%s", err, out)
	}
	table, config := filepath.Join(dir, "fleet.csv"), filepath.Join(dir, "demo.yaml")
	if out, err := exec.Command(fleet, "simulate", "--write-enrichment", table, "--enrichment-only").CombinedOutput(); err != nil {
		t.Fatalf("fleet: %v\n%s", err, out)
	}
	if err := os.WriteFile(config, []byte(fmt.Sprintf("enrichment:\n  sources:\n  - path: %q\n", table)), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, filepath.Join(dir, "data"), "--config", config)
	simulate := exec.Command(fleet, "simulate", "--url", s.devices)
	if err := simulate.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = simulate.Process.Kill()
		_ = simulate.Wait()
	})
	// A device sends its past before its present.
	eventually(t, 2*time.Minute, func() error {
		_, body := s.get("/api/v1/query?query=" + url.QueryEscape(`count(count_over_time(temperature_c[6h]) and timestamp(temperature_c) > time()-30) > 130`))
		if !strings.Contains(body, `"value"`) {
			return fmt.Errorf("not all of the fleet is there: %s", body)
		}
		return nil
	})
	return s
}

// graph is the query that the docs show.
const graph = `avg(temperature_c) by (site)`

// typeQuery types a query into the page's first field and asks for it.
func (b *browser) typeQuery(query string) {
	b.t.Helper()
	const field = chromedp.CSS(".vm-query-editor textarea")
	b.do("type "+query, chromedp.WaitVisible(field), chromedp.Click(field), chromedp.SendKeys(field, query), chromedp.KeyEvent(kb.Enter))
}

// press clicks the button with that text.
func (b *browser) press(button string) {
	b.t.Helper()
	b.wait(button, `[...document.querySelectorAll("button")].find(e => e.innerText == `+strconv.Quote(button)+`)?.click() || 1`)
}

// drawn is true when the page has a graph with lines and a legend of at least
// three series. The graph's own canvas has axes and grid in grey; a line has
// a colour.
const drawn = `document.querySelectorAll(".vm-legend-item").length >= 3 && [...document.querySelectorAll(".vm-line-chart canvas")].some(c => {
	const p = c.getContext("2d").getImageData(0, 0, c.width, c.height).data
	let colored = 0
	for (let i = 0; i < p.length; i += 4)
		if (p[i+3] > 128 && Math.max(p[i], p[i+1], p[i+2]) - Math.min(p[i], p[i+1], p[i+2]) > 60) colored++
	return colored > 500
})`

// menu are the pages of vmui by their names in its menu: what is done on each
// (nil is nothing) and what it shows then, a JavaScript expression.
var menu = map[string]struct {
	act   func(b *browser)
	shows string
}{
	"Query":               {func(b *browser) { b.typeQuery(graph) }, drawn},
	"Raw query":           {func(b *browser) { b.typeQuery(`temperature_c{site="bergen",room="freezer"}`) }, drawn},
	"Explore cardinality": {nil, text("temperature_c") + `&& !` + text("Total metric names")},
	"Top queries":         {nil, text("count_over_time(temperature_c")},
	"Active Queries":      {nil, text("no active queries")},
	"Trace analyzer":      {nil, text("Upload Files")},
	"Query analyzer":      {nil, text("Upload Files")},
	"WITH templates": {func(b *browser) {
		const field = chromedp.CSS("textarea")
		b.do("type", chromedp.WaitVisible(field), chromedp.Click(field), chromedp.SendKeys(field, `WITH (t = temperature_c) max(t)`))
		b.press("Expand")
	}, `[...document.querySelectorAll("textarea")].some(e => e.value == "max(temperature_c)")`},
	"Metric relabel debug": {func(b *browser) { b.press("Try Example") }, text("Resulting labels")},
}

// text is true when the page shows the text.
func text(s string) string { return fmt.Sprintf("document.body.innerText.includes(%q)", s) }

// links opens every menu of the page that has a second level, and returns
// the addresses of all visible links by their texts.
func (b *browser) links() map[string]string {
	const all = `Object.fromEntries([...document.querySelectorAll("a.vm-header-nav-item")].filter(a => a.checkVisibility()).map(a => [a.textContent, a.href]))`
	found := map[string]string{}
	look := func() {
		for name, address := range b.eval(all).(map[string]any) {
			found[name] = address.(string)
		}
	}
	look()
	for i := range int(b.eval(`document.querySelectorAll(".vm-header-nav-item_sub").length`).(float64)) {
		at := b.eval(fmt.Sprintf(`(r => [r.x + r.width/2, r.y + r.height/2])(document.querySelectorAll(".vm-header-nav-item_sub")[%d].getBoundingClientRect())`, i)).([]any)
		before := len(found)
		b.do("hover", chromedp.MouseEvent(chromedp.MouseMoved, at[0].(float64), at[1].(float64)))
		eventually(b.t, 10*time.Second, func() error {
			if look(); len(found) == before {
				return errors.New("the menu does not open")
			}
			return nil
		})
	}
	return found
}

// TestVMUI types a query, then opens every page of the menu.
func TestVMUI(t *testing.T) {
	b := newBrowser(t)
	s := demo(t)
	b.open(s.ops + "/vmui/")
	b.wait("the menu", `document.querySelector("nav a")`)
	links := b.links()
	for name := range menu {
		if links[name] == "" {
			t.Errorf("the menu has no %s; it has %v", name, links)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(links)) {
		address := links[name]
		page, ok := menu[name]
		if !ok {
			t.Errorf("the menu has %s (%s): say here what it shows, or see to it that it is not in the menu", name, address)
			continue
		}
		if name == "Query" {
			address += "?g0.range_input=6h&g0.relative_time=last_6_hours" // all of the fleet's past
		}
		b.open(address)
		b.wait(name, `document.querySelector("nav a")`)
		if page.act != nil {
			page.act(b)
		}
		b.wait(name, page.shows)
		b.check(name)
	}
}

// TestIndexPage follows every link of the operator's first page.
func TestIndexPage(t *testing.T) {
	b := newBrowser(t)
	s := start(t, t.TempDir())
	b.open(s.ops + "/")
	b.check("index")
	links := b.eval(`[...document.querySelectorAll("a")].map(a => a.href)`).([]any)
	if len(links) < 5 {
		t.Errorf("there are only %v", links)
	}
	for _, link := range links {
		b.open(link.(string))
		b.wait(link.(string), `document.body.innerText.length > 1`)
		b.check("index link")
	}
}

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// pictures is how a page that a test has seen is looked at by a person:
//
//	go test ./cmd/penstock/e2e -run TestVMUI -pictures DIR
var pictures = flag.String("pictures", "", "directory to write a picture of each page to that a browser test has opened")

// browser is a tab of a headless chromium that notes what goes wrong in it.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	requests map[network.RequestID]string // URL by request that is not answered yet
	faults   []string                     // failed requests, exceptions and errors of the console
}

// newBrowser starts a chromium of its own. Where there is none the test is
// skipped, but not in CI.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%v, and CI must not skip this test; .ci/install installs it", err)
		}
		t.Skip(err)
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.WindowSize(1400, 1060),
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
	}
	for _, flag := range []string{"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync", "disable-dev-shm-usage", "hide-scrollbars"} {
		options = append(options, chromedp.Flag(flag, true))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx, requests: map[network.RequestID]string{}}
	if err := chromedp.Listen(ctx, b.note); err != nil {
		t.Fatalf("cannot start %s: %v", path, err)
	}
	_, err = chromedp.Call(ctx, network.Enable, network.EnableParams{})
	_, err2 := chromedp.Call(ctx, log.Enable, cdp.Empty{})
	_, err3 := chromedp.Call(ctx, runtime.Enable, cdp.Empty{})
	if err := errors.Join(err, err2, err3); err != nil {
		t.Fatalf("browser: %v", err)
	}
	return b
}

// note is called for each event of the tab.
func (b *browser) note(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.requests[e.RequestID] = e.Request.Method + " " + e.Request.URL
	case *network.EventResponseReceived:
		if e.Response.Status >= 400 {
			b.faults = append(b.faults, fmt.Sprintf("%s is answered %d", b.requests[e.RequestID], e.Response.Status))
		}
	case *network.EventLoadingFinished:
		delete(b.requests, e.RequestID)
	case *network.EventLoadingFailed:
		// A page cancels what it has asked for when something newer is asked.
		if !e.Canceled {
			b.faults = append(b.faults, fmt.Sprintf("%s failed: %s", b.requests[e.RequestID], e.ErrorText))
		}
		delete(b.requests, e.RequestID)
	case *runtime.EventExceptionThrown:
		b.faults = append(b.faults, "exception: "+describe(e.ExceptionDetails))
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError {
			text, _ := json.Marshal(e.Args)
			b.faults = append(b.faults, "console: "+string(text))
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError {
			b.faults = append(b.faults, "console: "+e.Entry.Text+" "+e.Entry.URL)
		}
	}
}

// describe returns the message and the place of an exception.
func describe(e *runtime.ExceptionDetails) string {
	text, err := json.Marshal(e)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// do acts in the tab.
func (b *browser) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatalf("browser: %s: %v", what, err)
	}
}

// open loads a page afresh.
func (b *browser) open(url string) {
	b.t.Helper()
	// Without the detour another fragment of the same page would not load it.
	b.do("leave", chromedp.Navigate("about:blank"))
	b.mu.Lock()
	clear(b.requests)
	b.mu.Unlock()
	b.do("open "+url, chromedp.Navigate(url))
}

// eval returns the value of a JavaScript expression.
func (b *browser) eval(expression string) any {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[any](expression))
	if err != nil {
		b.t.Fatalf("browser: %s: %v", expression, err)
	}
	return v
}

// picture returns the tab as a PNG.
func (b *browser) picture() []byte {
	b.t.Helper()
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatalf("browser: picture: %v", err)
	}
	return png
}

// wait waits until the expression is true and every request is answered.
func (b *browser) wait(what, expression string) {
	b.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		b.mu.Lock()
		waiting := fmt.Sprint(b.requests)
		idle := len(b.requests) == 0
		b.mu.Unlock()
		if idle && b.eval("!!("+expression+")") == true {
			return
		}
		if time.Now().After(deadline) {
			b.t.Errorf("%s: not so after 30 s; requests that wait: %s; the page's text: %.1500q", what, waiting, b.eval("document.body.innerText"))
			b.check(what)
			b.t.FailNow()
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// check fails the test for what has gone wrong since the last call, and for
// what the page itself calls an error.
func (b *browser) check(where string) {
	b.t.Helper()
	b.mu.Lock()
	faults := b.faults
	b.faults = nil
	b.mu.Unlock()
	for _, fault := range faults {
		b.t.Errorf("%s: %s", where, fault)
	}
	if text := b.eval(`[...document.querySelectorAll(".vm-alert_error, .vm-alert_warning, .vm-text-field__input_error, .vm-trace-page-header-errors-item")].map(e => e.innerText).join("; ")`); text != "" {
		b.t.Errorf("%s: the page says %q", where, text)
	}
	if *pictures == "" {
		return
	}
	name := strings.ReplaceAll(strings.ToLower(where), " ", "-") + ".png"
	if err := os.WriteFile(filepath.Join(*pictures, name), b.picture(), 0o644); err != nil {
		b.t.Error(err)
	}
}

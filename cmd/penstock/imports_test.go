package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/penstock-io/penstock"

// room is a package of the project, or a tree of them, and which other rooms
// it may import. Its own subtree is always allowed.
type room struct {
	path    string
	imports []string // "*" is everything, "internal/*" everything in it
	reason  string
}

// rooms is the table of docs/architecture.md. The longest path that fits is a package's room; a
// package without a room fails the test, so that a new one is thought about.
var rooms = []room{
	{"ingest/event", nil, "event is the ground floor: everybody imports it, so it imports the standard library only"},
	{"ingest/decode", []string{"ingest/event"}, "decoding is a pure function from bytes to a batch: it knows neither who sent them nor where they go"},
	{"ingest/dialect", []string{"ingest/event"}, "the contract between the listener and the dialects: values, and the limits that all share"},
	{"ingest/dialect/*", []string{"ingest/event", "ingest/dialect", "internal/settings"}, "a dialect turns bytes into a batch and an outcome into an answer; it knows no other dialect, no HTTP library and nothing of what happens to the batch"},
	{"ingest/fair", []string{"ingest/event"}, "who holds how much is arithmetic: it knows neither a connection nor a file"},
	{"ingest/limit", []string{"ingest/event", "internal/settings"}, "how much a sender may send depends on the batch and the settings alone"},
	{"ingest/access/cert", []string{"ingest/event", "internal/filewatch", "internal/settings"}, "a certificate says who sends, whatever the listener is, and whatever else may say it"},
	{"ingest/httpapi", []string{"ingest/event", "ingest/decode", "ingest/dialect", "ingest/fair", "internal/problem"}, "the listener turns requests into batches and answers; what happens to a batch it knows by an interface of its own"},
	{"ingest/access", []string{"ingest/event", "internal/durable", "internal/filewatch"}, "who somebody is has nothing to do with the protocol that is spoken: listeners know it by interfaces of their own"},
	{"ingest/dialect/otlp", []string{"ingest/event", "ingest/dialect", "internal/jsonstring", "internal/settings"}, "as any dialect; its answers to JSON are JSON, which it writes as the other rooms do"},
	{"ingest/journal", []string{"ingest/event", "ingest/journal/checkpoint", "ingest/journal/disk", "ingest/journal/record", "ingest/journal/segment"}, "the journal must recover by itself, whatever becomes of those who write into it and read from it"},
	{"ingest/journal/disk", nil, "the calls that can fail, without what they are made for, so that a test can replace them"},
	{"ingest/journal/segment", []string{"ingest/event", "ingest/journal/disk"}, "records and damage are told apart by the bytes alone, whatever a process believes of them"},
	{"ingest/journal/record", []string{"ingest/event"}, "a batch as bytes: it knows no file"},
	{"ingest/journal/checkpoint", []string{"ingest/event", "ingest/journal/disk"}, "how far a consumer has come, without the journal that it reads"},
	{"ingest/journal/inspect", []string{"ingest/event", "ingest/journal/checkpoint", "ingest/journal/disk", "ingest/journal/record", "ingest/journal/segment"}, "people look at files; whoever looks must not be able to open the journal, which changes them"},
	{"ingest", []string{"ingest/event"}, "the pool declares what it needs of journal, enrichment and sinks; cmd hands it over"},
	{"ingest/guard", []string{"ingest/event", "ingest/guard/series", "ingest/guard/cardinality", "ingest/guard/schema"}, "it puts the guards in their order, and knows nothing else"},
	{"ingest/guard/series", []string{"ingest/event"}, "a hash of what names a series: a pure function"},
	{"ingest/guard/cardinality", []string{"ingest/event", "ingest/guard/series", "internal/durable", "internal/settings"}, "a guard knows batches, and neither who calls it nor another guard"},
	{"ingest/guard/schema", []string{"ingest/event", "ingest/guard/series", "internal/filewatch", "internal/settings"}, "a guard knows batches, and neither who calls it nor another guard; the form of the file is cmd's"},
	{"enrich", []string{"ingest/event", "enrich/row", "enrich/source/file", "enrich/source/mirror", "enrich/source/postgres", "enrich/source/http"}, "the table puts its sources together, and is of use without the rest"},
	{"enrich/row", []string{"ingest/event"}, "every source emits rows, so a row knows none of them"},
	{"enrich/source/file", []string{"ingest/event", "enrich/row", "internal/filewatch"}, "a source emits rows: it knows neither the table nor another source"},
	{"enrich/source/mirror", []string{"ingest/event", "enrich/row", "internal/durable"}, "a source emits rows: it knows neither the table nor another source"},
	{"enrich/source/postgres", []string{"ingest/event", "enrich/row", "internal/postgres"}, "a source emits rows: it knows neither the table nor another source"},
	{"enrich/source/http", []string{"ingest/event", "enrich/row", "internal/httpclient"}, "a source emits rows: it knows neither the table nor another source"},
	{"sink", []string{"ingest/event"}, "the contract between delivery and the stores, and nothing else"},
	{"sink/delivery", []string{"ingest/event", "sink", "sink/delivery/progress", "sink/delivery/filter"}, "delivery declares what it needs of the journal, and knows stores by the contract; cmd hands both over"},
	{"sink/delivery/progress", []string{"ingest/event"}, "a state machine that a test can drive without the rest"},
	{"sink/delivery/filter", []string{"ingest/event"}, "a pure function from a batch to a part of it"},
	{"sink/*", []string{"ingest/event", "sink", "sink/ndjson", "sink/remote", "internal/*"}, "a store knows batches and the contract, what stores share, and no other store"},
	{"sink/ndjson", []string{"ingest/event", "internal/jsonstring"}, "the form of a line is the file's and the dead letters', and knows neither"},
	{"sink/remote", []string{"ingest/event", "sink", "internal/httpclient"}, "what stores behind HTTP share knows none of them"},
	{"sink/sinktest", []string{"ingest/event", "loadtest/sim"}, "real servers and real data for tests, which are the only ones that import it"},
	{"internal/httpclient", []string{"internal/secret"}, "passwords, tokens and header fields are secrets"},
	{"internal/postgres", []string{"internal/secret"}, "a DSN is a secret"},
	{"internal/servertls", []string{"internal/filewatch", "internal/settings"}, "a certificate and its key are files that change"},
	{"internal/*", nil, "what is not the domain's knows nothing of it, and each is of use alone"},
	{"loadtest", nil, "the load generator knows the wire, never the code: what both got wrong together nobody would see"},
	{"bench", []string{"*"}, ""},
	{"cmd/penstock/schemafile", []string{"ingest/guard/schema"}, "a schema as YAML: it knows neither the service nor its settings"},
	{"cmd", []string{"*"}, ""},
}

// owned are packages from outside that one room keeps to itself, so that a
// change of theirs is a change in one place. bench and loadtest are programs
// of their own and free to use them.
type ownedPackage struct{ prefix, owner, reason string }

var owned = []ownedPackage{
	{"github.com/goccy/go-json", "ingest/decode", "its settings and its recover are decode's"},
	{"github.com/valyala/fasthttp", "ingest/httpapi", "its defaults are unsafe and its buffers must not leave the handler"},
	{"github.com/pires/go-proxyproto", "ingest/httpapi", "whose header is believed is decided where connections are counted"},
	{"github.com/puzpuzpuz/xsync", "enrich", "its map is the table's; sources emit rows, and rows live in the table only"},
	{"github.com/VictoriaMetrics/VictoriaMetrics", "sink/embedded", "its settings are global flags, which one room sets"},
	{"github.com/golang-jwt/jwt", "ingest/access", "which algorithms and claims are believed is decided in one place"},
	{"github.com/MicahParks", "ingest/access", "which algorithms and claims are believed is decided in one place"},
	{"github.com/goccy/go-yaml", "internal/settings/layers", "components take Config structs, not files"},
	{"github.com/goccy/go-yaml", "cmd/penstock/schemafile", "components take Config structs, not files"},
	{"github.com/alecthomas/kong", "cmd", "only the command has a command line"},
}

// listed is what the test needs of `go list -json`.
type listed struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// TestImportRules holds the packages of the module to rooms. Tests may
// import other rooms, but not loadtest's, and nobody imports a program.
func TestImportRules(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", module+"/...")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	n := 0
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for ; ; n++ {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		for _, fault := range violations(p) {
			t.Error(fault)
		}
	}
	if n < 5 {
		t.Errorf("go list knows only %d packages", n)
	}
}

// violations lists the rules that a package breaks.
func violations(p listed) []string {
	var faults []string
	path := local(p.ImportPath)
	own, ok := roomOf(path)
	if !ok {
		return []string{path + ": has no room; say in imports_test.go what it may import, and why"}
	}
	imports := p.Imports
	if own.path == "loadtest" {
		imports = slices.Concat(imports, p.TestImports, p.XTestImports)
	}
	for _, imported := range imports {
		if to := local(imported); to != imported {
			if !own.allows(path, to) {
				faults = append(faults, fmt.Sprintf("%s imports %s: %s", path, to, own.reason))
			}
			if within(to, "cmd") && !within(path, "cmd") || within(to, "bench") && !within(path, "bench") {
				faults = append(faults, fmt.Sprintf("%s imports %s: programs are not libraries", path, to))
			}
			if to == "sink/sinktest" && own.path != "bench" {
				faults = append(faults, fmt.Sprintf("%s imports %s: it is for tests only", path, to))
			}
			continue
		}
		if own.path == "ingest/event" && strings.Contains(strings.Split(imported, "/")[0], ".") {
			faults = append(faults, fmt.Sprintf("%s imports %s: %s", path, imported, own.reason))
		}
		for _, o := range owned {
			// A package may have several owners, each in a line of its own.
			owns := slices.ContainsFunc(owned, func(x ownedPackage) bool {
				return x.prefix == o.prefix && (x.owner == own.path || strings.HasSuffix(own.path, "/*") && within(path, x.owner))
			})
			if within(imported, o.prefix) && !owns && own.path != "bench" && own.path != "loadtest" {
				faults = append(faults, fmt.Sprintf("%s imports %s, which is %s's only: %s", path, imported, o.owner, o.reason))
			}
		}
	}
	return faults
}

// local is a path of the module without the module; any other path as it is.
func local(path string) string { return strings.TrimPrefix(path, module+"/") }

// within reports whether path is dir or lies below it.
func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

func roomOf(path string) (room, bool) {
	var best room
	for _, r := range rooms {
		dir, star := strings.CutSuffix(r.path, "/*")
		fits := within(path, dir) && (!star || path != dir)
		if fits && len(r.path) > len(best.path) {
			best = r
		}
	}
	return best, best.path != ""
}

func (r room) allows(from, to string) bool {
	for _, allowed := range r.imports {
		dir, tree := strings.CutSuffix(allowed, "*")
		if allowed == to || tree && strings.HasPrefix(to, dir) && (dir == "" || to != "internal/settings/layers") {
			return true
		}
	}
	// Whoever has settings declares them; only cmd fills them.
	if to == "internal/settings" && r.path != "ingest/event" && r.path != "loadtest" {
		return true
	}
	// Its own subtree: that of the room, and for sink/* that of the one sink.
	own := r.path
	if dir, star := strings.CutSuffix(r.path, "/*"); star {
		name, _, _ := strings.Cut(strings.TrimPrefix(from, dir+"/"), "/")
		own = dir + "/" + name
	}
	to2, ok := roomOf(to)
	return ok && to2.path == r.path && within(to, own)
}

// TestImportRulesBite shows that each rule is broken by what it forbids.
func TestImportRulesBite(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		path, imports string
		broken        bool
	}{
		{"ingest/event", "unsafe", false},
		{"ingest/event", "golang.org/x/sys/unix", true},
		{"ingest/event", module + "/ingest/decode", true},
		{"ingest/decode", module + "/ingest/event", false},
		{"ingest/decode", module + "/ingest/decode/number", false},
		{"ingest/decode", module + "/ingest/journal", true},
		{"ingest/httpapi", module + "/ingest/decode", false},
		{"ingest/httpapi", module + "/ingest", true},
		{"ingest/httpapi", module + "/ingest/dialect", false},
		{"ingest/httpapi", module + "/ingest/dialect/influx", true},
		{"ingest/dialect", module + "/ingest/dialect/influx", true},
		{"ingest/dialect/influx", module + "/ingest/dialect", false},
		{"ingest/dialect/influx", module + "/ingest/dialect/otlp", true},
		{"ingest/dialect/influx", module + "/ingest/decode", true},
		{"ingest/dialect/influx", module + "/internal/problem", true},
		{"ingest/dialect/influx", "github.com/valyala/fasthttp", true},
		{"ingest/httpapi", module + "/internal/problem", false},
		{"ingest/decode", module + "/internal/problem", true},
		{"internal/problem", module + "/ingest/event", true},
		{"ingest/journal", module + "/enrich", true},
		{"ingest/journal", module + "/ingest/journal/segment", false},
		{"ingest/journal", module + "/ingest/journal/inspect", true},
		{"ingest/journal/inspect", module + "/ingest/journal/segment", false},
		{"ingest/journal/inspect", module + "/ingest/journal", true},
		{"ingest/journal/segment", module + "/ingest/journal/record", true},
		{"ingest/journal/record", module + "/ingest/journal/disk", true},
		{"ingest/journal/disk", module + "/ingest/event", true},
		{"ingest/access", module + "/ingest/event", false},
		{"ingest/access", module + "/ingest/httpapi", true},
		{"ingest/httpapi", module + "/ingest/access", true},
		{"ingest/httpapi", "github.com/golang-jwt/jwt/v5", true},
		{"ingest/access", "github.com/MicahParks/keyfunc/v3", false},
		{"ingest", module + "/ingest/event", false},
		{"ingest", module + "/ingest/limit", true},
		{"ingest/limit", module + "/ingest", true},
		{"ingest/fair", module + "/ingest/httpapi", true},
		{"ingest/access/cert", module + "/ingest/event", false},
		{"ingest/access/cert", module + "/ingest/httpapi", true},
		{"ingest/httpapi", module + "/ingest/access/cert", true},
		{"internal/servertls", module + "/ingest/access/cert", true},
		{"ingest/access/cert", "github.com/pires/go-proxyproto", true},
		{"ingest", module + "/ingest/journal", true},
		{"ingest", module + "/sink", true},
		{"enrich", module + "/ingest", true},
		{"sink", module + "/ingest/journal", true},
		{"sink", module + "/sink/delivery", true},
		{"sink/delivery", module + "/ingest/journal", true},
		{"sink/delivery", module + "/sink/embedded", true},
		{"sink/delivery", module + "/sink/delivery/progress", false},
		{"sink/delivery/progress", module + "/sink", true},
		{"sink/embedded", module + "/sink/delivery", true},
		{"sink", module + "/sink/embedded", true},
		{"sink/embedded", module + "/sink", false},
		{"sink/embedded", module + "/sink/embedded/rows", false},
		{"sink/embedded", module + "/sink/influx", true},
		{"sink/deadletter", module + "/sink/ndjson", false},
		{"sink/influx", module + "/sink/remote", false},
		{"sink/ndjson", module + "/sink", true},
		{"sink/file", module + "/internal/durable", false},
		{"sink", module + "/internal/durable", true},
		{"internal/durable", module + "/ingest/event", true},
		{"internal/durable", module + "/internal/jsonstring", true},
		{"sink/remote", module + "/sink/influx", true},
		{"sink/sinktest", module + "/loadtest/sim", false},
		{"sink/sinktest", module + "/sink", true},
		{"cmd/penstock/app", module + "/sink/sinktest", true},
		{"sink/influx", module + "/sink/sinktest", true},
		{"loadtest/k6", module + "/ingest/event", true},
		{"loadtest/cmd", module + "/loadtest/fleet", false},
		{"loadtest", "github.com/valyala/fasthttp", false},
		{"bench", module + "/ingest/journal", false},
		{"cmd/penstock/app", module + "/sink/embedded", false},
		{"enrich", module + "/cmd/penstock/config", true},
		{"enrich", module + "/enrich/source/postgres", false},
		{"enrich", module + "/internal/postgres", true},
		{"enrich/row", module + "/enrich/source/file", true},
		{"enrich/row", module + "/enrich", true},
		{"enrich/source/file", module + "/enrich/row", false},
		{"enrich/source/file", module + "/internal/postgres", true},
		{"enrich/source/postgres", module + "/enrich", true},
		{"enrich/source/postgres", module + "/enrich/source/http", true},
		{"enrich", module + "/cmd/penstock/ops", true},
		{"cmd/penstock", "github.com/VictoriaMetrics/VictoriaMetrics/lib/storage", true},
		{"sink/embedded", "github.com/VictoriaMetrics/VictoriaMetrics/lib/storage", false},
		{"sink", "github.com/VictoriaMetrics/metrics", false},
		{"ingest/httpapi", "github.com/goccy/go-json", true},
		{"ingest/decode", "github.com/goccy/go-json", false},
		{"sink", "github.com/valyala/fasthttp", true},
		{"ingest", "github.com/puzpuzpuz/xsync/v3", true},
		{"enrich", "github.com/puzpuzpuz/xsync/v3", false},
		{"enrich/source/http", "github.com/puzpuzpuz/xsync/v3", true},
		{"enrich", "github.com/goccy/go-yaml", true},
		{"ingest/guard/schema", module + "/ingest/guard/cardinality", true},
		{"ingest/guard/cardinality", module + "/ingest", true},
		{"ingest/guard", module + "/ingest/guard/schema", false},
		{"ingest", module + "/ingest/guard", true},
		{"internal/settings", "github.com/goccy/go-yaml", true},
		{"internal/settings/layers", "github.com/goccy/go-yaml", false},
		{"internal/settings", module + "/ingest/event", true},
		{"ingest/event", module + "/internal/settings", true},
		{"ingest/httpapi", module + "/internal/settings", false},
		{"ingest/httpapi", module + "/internal/settings/layers", true},
		{"sink/file", module + "/internal/settings/layers", true},
		{"internal/httpclient", module + "/internal/settings", false},
		{"cmd/penstock/config", module + "/internal/settings/layers", false},
		{"util", "fmt", true},
	} {
		faults := violations(listed{ImportPath: module + "/" + c.path, Imports: []string{c.imports}})
		if (len(faults) > 0) != c.broken {
			t.Errorf("%s importing %s: got %q", c.path, c.imports, faults)
		}
	}
}

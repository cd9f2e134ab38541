package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/penstock-io/penstock/ingest/dialect"
	"github.com/penstock-io/penstock/ingest/dialect/influx"
	"github.com/penstock-io/penstock/ingest/dialect/otlp"
	"github.com/penstock-io/penstock/ingest/dialect/promwrite"
	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/httpapi"
)

// headers are those of a request that asks for an answer.
type headers map[string]string

func (h headers) Peek(name string) []byte { return []byte(h[name]) }

// influxAnswer is what the dialect answers on a path to an outcome.
func influxAnswer(path, agent string, o dialect.Outcome) dialect.Answer {
	d := influx.New(influx.DefaultConfig(), dialect.Limits{MaxEvents: 10, MaxFields: 10})
	var a dialect.Answer
	r := dialect.Request{Method: []byte("POST"), Path: []byte(path), Query: headers{}, Header: headers{"User-Agent": agent}, Partial: true}
	d.Answer(&r, &o, &a)
	return a
}

// retries reports whether an answer asks to wait.
func retries(a dialect.Answer) bool {
	for i := range a.Fields() {
		if name, _ := a.Field(i); name == "Retry-After" {
			return true
		}
	}
	return false
}

// dialectsPage is docs/dialects.md, made of the code that answers.
func dialectsPage() string {
	var b strings.Builder
	b.WriteString(`# What other systems' clients are answered

Made by ` + "`make docs`" + ` from the code that answers. Paths, names and settings of InfluxDB are described in [from-influx.md](from-influx.md). One status means "lost" to one client and "wait" to another; each dialect answers what its own clients make the right thing of. The first column has the codes of [errors.md](errors.md); "by the book" is what Penstock's own form answers.

## InfluxDB

"wait" means that the answer has Retry-After, which is left out for influxdb-client-js: it would read seconds as milliseconds. A quota is answered 429 with ` + "`dialects.influx.quota_status: 429`" + `. Errors are JSON in the form of the path's version, never problem+json; what fails before there is a path (a header that cannot be read, too many connections) is.

| code | class | by the book | /write | /api/v2/write | /api/v3/write_lp |
|---|---|---|---|---|---|
`)
	for _, f := range httpapi.Faults() {
		fmt.Fprintf(&b, "| `%s` | %s | %d |", f.Code, f.Class, f.Status)
		for _, path := range []string{"/write", "/api/v2/write", "/api/v3/write_lp"} {
			a := influxAnswer(path, "", dialect.Outcome{Fault: &f})
			fmt.Fprintf(&b, " %d", a.Status)
			if retries(a) {
				b.WriteString(", wait")
			}
			b.WriteString(" |")
		}
		b.WriteString("\n")
	}
	body := []byte("m,host=a f=1\nm f=2\n")
	batch := (&event.Pool{}).Get(len(body))
	batch.Body = append(batch.Body, body...)
	batch.Total = 2
	r := batch.Reject(1, event.MissingDevice)
	r.Detail = "the line has no tag that names the device"
	b.WriteString("\nThe good lines of a request are taken and the others named:\n\n| path | status | body |\n|---|---|---|\n")
	for _, path := range []string{"/write", "/api/v2/write", "/api/v3/write_lp"} {
		a := influxAnswer(path, "", dialect.Outcome{Batch: batch, Received: 2, Accepted: 1, Rejected: 1})
		fmt.Fprintf(&b, "| `%s` | %d | `%s` |\n", path, a.Status, a.Body)
	}
	b.WriteString(metricsTable())
	return b.String()
}

// metricsTable is the part about remote write and OTLP.
func metricsTable() string {
	var b strings.Builder
	b.WriteString(`
## Prometheus' remote write, OpenTelemetry's OTLP

Described in [prometheus.md](prometheus.md) and [opentelemetry.md](opentelemetry.md). Both have a setting ` + "`quota_status`" + `. Remote write answers text, OTLP a Status in the form of the request.

| code | class | by the book | /api/v1/write | /v1/metrics |
|---|---|---|---|---|
`)
	limits := dialect.Limits{MaxEvents: 10, MaxFields: 10}
	dialects := []httpapi.Dialect{promwrite.New(promwrite.DefaultConfig(), limits), otlp.New(otlp.DefaultConfig(), limits)}
	for _, f := range httpapi.Faults() {
		fmt.Fprintf(&b, "| `%s` | %s | %d |", f.Code, f.Class, f.Status)
		for _, d := range dialects {
			var a dialect.Answer
			d.Answer(&dialect.Request{Method: []byte("POST")}, &dialect.Outcome{Fault: &f}, &a)
			fmt.Fprintf(&b, " %d", a.Status)
			if retries(a) {
				b.WriteString(", wait")
			}
			b.WriteString(" |")
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestDialectsPage(t *testing.T) {
	const path = "../../docs/dialects.md"
	want := []byte(dialectsPage())
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/dialects.md differs from what the dialects answer; `make docs` writes it anew")
	}
}

// TestInfluxAnswers holds what clients rely on: what may be sent again is
// never final to them, and the JS client gets no Retry-After.
func TestInfluxAnswers(t *testing.T) {
	for _, f := range httpapi.Faults() {
		for _, path := range []string{"/write", "/api/v2/write", "/api/v3/write_lp"} {
			a := influxAnswer(path, "", dialect.Outcome{Fault: &f})
			again := f.Class == dialect.Overload || f.Class == dialect.Quota
			if again != (a.Status == 503) || again != retries(a) || a.ContentType != "application/json" {
				t.Errorf("%s on %s: %d, %s", f.Code, path, a.Status, a.ContentType)
			}
			if retries(influxAnswer(path, "influxdb-client-js/1.35.0 (platform; node)", dialect.Outcome{Fault: &f})) {
				t.Errorf("%s on %s: the JS client gets Retry-After", f.Code, path)
			}
		}
	}
}

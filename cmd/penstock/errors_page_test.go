package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/penstock-io/penstock/cmd/penstock/ops"
	"github.com/penstock-io/penstock/ingest/httpapi"
)

var update = flag.Bool("update", false, "write docs/errors.md instead of comparing with it")

// errorsPage is docs/errors.md, made of the tables that the listener answers
// from. The type of each problem is a link into it.
func errorsPage() string {
	var b strings.Builder
	b.WriteString(`# Errors

Made by ` + "`make docs`" + ` from the tables that the listener answers from.

## Answers to whole requests

Answers of 4xx and 5xx are RFC 9457 problems (` + "`application/problem+json`" + `). Their ` + "`code`" + ` is one of these; 429 and 503 carry Retry-After in seconds. Nothing of such a request was accepted.

| code | status | meaning |
|---|---|---|
`)
	for _, p := range httpapi.Problems() {
		fmt.Fprintf(&b, "| <a id=%q></a>`%s` | %d | %s |\n", p.Code, p.Code, p.Status, p.Meaning)
	}
	b.WriteString(`
## Answers of the operator's listener

Those of its own paths, /v1/devices, /v1/cardinality, /v1/enrichment (` + "[enrichment.md](enrichment.md)" + `) and /v1/deadletters, in the same form. The query API answers in Prometheus' form.

| code | status | meaning |
|---|---|---|
`)
	for _, p := range ops.Problems() {
		fmt.Fprintf(&b, "| <a id=%q></a>`%s` | %d | %s |\n", p.Code, p.Code, p.Status, p.Meaning)
	}
	b.WriteString(`
## Rejected events

` + "The `errors` of an answer name the events that were rejected: `index` counts the request's events from 0, `pointer` (RFC 6901) is inside that event, `code` is one of these. At most 100 are listed; `truncated` tells whether there were more. An event is rejected for one reason, the first in the order device, ts, values, tags. The metric `penstock_events_rejected_total` counts all by code." + `

| code | meaning |
|---|---|
`)
	for _, c := range httpapi.RejectionCodes() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", c.Code, c.Meaning)
	}
	return b.String()
}

func TestErrorsPage(t *testing.T) {
	const path = "../../docs/errors.md"
	want := errorsPage()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/errors.md differs from what the listener answers; `make docs` writes it anew")
	}
}

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/cmd/penstock/schemafile"
	"github.com/penstock-io/penstock/ingest/decode"
	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/guard/schema"
	"github.com/penstock-io/penstock/ingest/journal/inspect"
)

// schemaCommands are about the file that guard.schema.file names.
type schemaCommands struct {
	Check schemaCheckCommand `cmd:"" help:"Check a schema, and with NDJSON on standard input what it would do to these events. Exit status 1 means that a rule is broken."`
	Infer schemaInferCommand `cmd:"" help:"Propose a schema that all events of a journal keep, as YAML."`
}

type schemaCheckCommand struct {
	File  string `arg:"" help:"Schema file (YAML)."`
	Limit int    `default:"100" placeholder:"N" help:"Print so many violations at most; all are counted."`
}

var errViolations = errors.New("there are events that break the schema")

// Bounds of a dry run's batches.
const (
	checkLines = 1000
	checkBytes = 4 << 20
)

// Run is called by kong.
func (c *schemaCheckCommand) Run(p *program) error {
	text, err := os.ReadFile(c.File)
	if err != nil {
		return err
	}
	d, err := schemafile.Parse(text)
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	fmt.Fprintf(p.stdout, "%s: ok, %d rules\n", c.File, len(d.Metrics))
	if p.stdin == nil {
		return nil
	}
	// In a dry run every violation is to be seen, so each rejects its event.
	asked := *d
	asked.Mode = schema.Reject
	asked.Metrics = append([]schema.Rule(nil), d.Metrics...)
	for i := range asked.Metrics {
		asked.Metrics[i].Mode = schema.Reject
	}
	run := &dryRun{
		out: bufio.NewWriter(p.stdout), left: c.Limit,
		// Old events are tried as well.
		dec:    decode.New(decode.DefaultConfig(), metrics.NewSet()),
		schema: schema.Of(&asked, schema.DefaultConfig(), metrics.NewSet()),
	}
	if err := run.read(p.stdin); err != nil {
		return fmt.Errorf("cannot read the events: %w", err)
	}
	if run.events+run.broken > 0 {
		fmt.Fprintf(run.out, "%d events, %d of them break a rule or cannot be decoded\n", run.events+run.broken, run.broken)
	}
	if err := run.out.Flush(); err != nil {
		return err
	}
	if run.broken > 0 {
		return errViolations
	}
	return nil
}

// dryRun takes lines of NDJSON through the service's own decoder and a schema.
type dryRun struct {
	out    *bufio.Writer
	left   int // violations that are still printed
	dec    *decode.Decoder
	schema *schema.Schema
	pool   event.Pool

	line           int // the last one of the batches before
	events, broken int
}

func (r *dryRun) read(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), checkBytes)
	var body bytes.Buffer
	n := 0
	for lines.Scan() {
		body.Write(lines.Bytes())
		body.WriteByte('\n')
		if n++; n == checkLines || body.Len() > checkBytes {
			if err := r.batch(body.Bytes(), n); err != nil {
				return err
			}
			body.Reset()
			n = 0
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("line %d: %w", r.line+n+1, err)
	}
	return r.batch(body.Bytes(), n)
}

// batch judges n lines.
func (r *dryRun) batch(body []byte, n int) error {
	first := r.line
	r.line += n
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	b := r.pool.Get(len(body))
	defer b.Release()
	b.Body = append(b.Body, body...)
	b.ReceivedAt = time.Now().UnixMilli()
	if err := r.dec.Decode(b, decode.NDJSON, decode.Millisecond); err != nil {
		return fmt.Errorf("lines %d to %d: %w", first+1, first+n, err)
	}
	if err := r.schema.Screen(b); err != nil {
		return err
	}
	r.events += len(b.Events)
	r.broken += b.Rejected()
	for _, rejection := range b.Rejections {
		if r.left == 0 {
			break
		}
		r.left--
		// The index counts events: with one per line and no blank ones it is
		// the line.
		fmt.Fprintf(r.out, "event %d: %s %s: %s\n", first+rejection.Index+1, rejection.Code, rejection.Pointer, rejection.Detail)
	}
	return nil
}

type schemaInferCommand struct {
	journalDir
	Records uint `placeholder:"N" help:"Look at so many records only; 0 is all of them."`
}

// Run is called by kong.
func (c *schemaInferCommand) Run(p *program) error {
	dir, err := c.path()
	if err != nil {
		return err
	}
	in := schema.NewInference()
	events := 0
	err = inspect.OS().Each(dir, inspect.DumpOptions{Records: int(c.Records)}, func(b *event.Batch) error {
		events += len(b.Events)
		in.Add(b)
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot read the journal: %w", err)
	}
	if in.Metrics() == 0 {
		return errors.New("the journal has no events to learn from")
	}
	text, err := schemafile.Format(in.Propose())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, `# Proposed by "penstock schema infer" from %d events of %d metrics. It says what has
# been, not what may be: widen min and max, add unit and help, and try it with
# "penstock schema check" before the mode becomes drop_value or reject.
%s`, events, in.Metrics(), text)
	return err
}

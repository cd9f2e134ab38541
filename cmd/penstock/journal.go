package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/journal/inspect"
)

// journalCommands look at a journal. They change nothing and work while the
// service runs.
type journalCommands struct {
	Inspect inspectCommand `cmd:"" help:"Show segments, the sinks' positions, counts, and the oldest and newest record."`
	Verify  verifyCommand  `cmd:"" help:"Compare every record with its checksum. Exit status 1 means damage."`
	Dump    dumpCommand    `cmd:"" help:"Print the events as NDJSON."`
}

type journalDir struct {
	Dir string `arg:"" help:"The service's data directory, or the journal in it."`
}

// path finds the journal's own directory. A directory without a segment is
// none, rather than one in which nothing is wrong.
func (d journalDir) path() (string, error) {
	for _, dir := range []string{d.Dir, filepath.Join(d.Dir, "journal")} {
		entries, err := os.ReadDir(dir)
		if err != nil && (dir == d.Dir || !errors.Is(err, fs.ErrNotExist)) {
			return "", fmt.Errorf("cannot look for a journal: %w", err)
		}
		for _, e := range entries {
			if filepath.Ext(e.Name()) == ".pj" {
				return dir, nil
			}
		}
	}
	return "", usageError{fmt.Errorf("there is no journal in %s; name the service's data directory", d.Dir)}
}

type inspectCommand struct {
	journalDir
	JSON bool `name:"json" help:"Print JSON."`
}

// Run is called by kong.
func (c *inspectCommand) Run(p *program) error {
	dir, err := c.path()
	if err != nil {
		return err
	}
	report, err := inspect.OS().Look(dir)
	if err != nil {
		return fmt.Errorf("cannot inspect the journal: %w", err)
	}
	if c.JSON {
		out := json.NewEncoder(p.stdout)
		out.SetIndent("", "  ")
		return out.Encode(report)
	}
	return writeReport(p.stdout, report)
}

// writeReport writes a report for people.
func writeReport(w io.Writer, r *inspect.Report) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(cells ...any) {
		for i, c := range cells {
			if t, ok := c.(time.Time); ok {
				c = "-"
				if !t.IsZero() {
					c = t.UTC().Format("2006-01-02T15:04:05.000Z")
				}
			}
			if i > 0 {
				fmt.Fprint(out, "\t")
			}
			fmt.Fprint(out, c)
		}
		fmt.Fprintln(out)
	}
	row("journal", r.Dir)
	row("records", fmt.Sprintf("%d with %d events, at positions %d to %d", r.Records, r.Events, r.Head, r.Tail))
	row("oldest", r.Oldest)
	row("newest", r.Newest)
	row("on disk", fmt.Sprintf("%d bytes", r.DiskBytes))
	row("quarantine", fmt.Sprintf("%d files", r.Quarantined))
	row("problems", len(r.Problems))

	row()
	row("SEGMENT", "FROM", "TO", "BYTES", "RECORDS", "EVENTS", "OLDEST", "NEWEST")
	for _, s := range r.Segments {
		row(s.Name, s.Base, s.End, s.Bytes, s.Records, s.Events, s.Oldest, s.Newest)
	}
	row()
	row("SINK", "SAFE UP TO", "SAFE BEYOND", "BACKLOG BYTES", "")
	for _, c := range r.Consumers {
		note := ""
		if c.Damaged {
			note = "its position is damaged: everything is delivered to it again"
		}
		row(c.Name, c.Low, fmt.Sprintf("%d ranges", len(c.Done)), c.Backlog, note)
	}
	if len(r.Problems) > 0 {
		row()
		row("PROBLEMS")
	}
	for _, problem := range r.Problems {
		row(problem)
	}
	return out.Flush()
}

// errDamaged is the result of a verification that found something.
var errDamaged = errors.New("the journal is not as it was written; the next start of the service keeps the good records and puts the others into quarantine")

type verifyCommand struct {
	journalDir
}

// Run is called by kong.
func (c *verifyCommand) Run(p *program) error {
	dir, err := c.path()
	if err != nil {
		return err
	}
	ok, err := inspect.OS().Verify(dir, p.stdout)
	if err != nil {
		return fmt.Errorf("cannot verify the journal: %w", err)
	}
	if !ok {
		return errDamaged
	}
	return nil
}

type dumpCommand struct {
	journalDir
	From    uint64 `placeholder:"POSITION" help:"Leave out the records before this position."`
	Records uint   `placeholder:"N" help:"Stop after so many records; 0 is all of them."`
}

// Run is called by kong.
func (c *dumpCommand) Run(p *program) error {
	dir, err := c.path()
	if err != nil {
		return err
	}
	options := inspect.DumpOptions{From: event.Position(c.From), Records: int(c.Records)}
	if err := inspect.OS().Dump(dir, p.stdout, options); err != nil {
		return fmt.Errorf("cannot dump the journal: %w", err)
	}
	return nil
}

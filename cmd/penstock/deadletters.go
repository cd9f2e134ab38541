package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"text/tabwriter"

	"github.com/penstock-io/penstock/cmd/penstock/ops"
	"github.com/penstock-io/penstock/sink/deadletter"
)

// deadLetterCommands are about events that a store refused. list and show
// read the data directory, whether the service runs or not; replay asks the
// service.
type deadLetterCommands struct {
	List   deadLetterListCommand   `cmd:"" help:"Count the dead letters of each sink."`
	Show   deadLetterShowCommand   `cmd:"" help:"Print dead letters as NDJSON, oldest first, with the store's own words."`
	Replay deadLetterReplayCommand `cmd:"" help:"Have the running service write dead letters to their stores again. Those that a store takes now are removed; it can be repeated."`
}

// letterDir is where dead letters lie below the data directory.
func letterDir(dataDir string) string { return filepath.Join(dataDir, deadletter.Dir) }

type deadLetterListCommand struct {
	settingFlags
}

// Run is called by kong.
func (c *deadLetterListCommand) Run(p *program) error {
	cfg, _, err := c.load(p)
	if err != nil {
		return err
	}
	all, err := deadletter.List(letterDir(cfg.DataDir))
	if err != nil {
		return fmt.Errorf("cannot list the dead letters: %w", err)
	}
	out := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "SINK\tLETTERS\tBYTES\tOLDEST\tNEWEST\tTHE STORE SAID")
	const form = "2006-01-02T15:04:05Z"
	for _, s := range all {
		oldest, newest := "-", "-"
		if s.Letters > 0 {
			oldest, newest = s.Oldest.UTC().Format(form), s.Newest.UTC().Format(form)
		}
		fmt.Fprintf(out, "%s\t%d\t%d\t%s\t%s\t%.120s\n", s.Sink, s.Letters, s.Bytes, oldest, newest, s.Error)
	}
	return out.Flush()
}

type deadLetterShowCommand struct {
	Sink  string `placeholder:"NAME" help:"Only those of this sink."`
	Limit int    `default:"0" placeholder:"N" help:"Stop after so many; 0 is all."`
	settingFlags
}

var errEnough = errors.New("enough")

// Run is called by kong.
func (c *deadLetterShowCommand) Run(p *program) error {
	cfg, _, err := c.load(p)
	if err != nil {
		return err
	}
	root := letterDir(cfg.DataDir)
	names := []string{c.Sink}
	if c.Sink == "" {
		names = nil
		all, err := deadletter.List(root)
		if err != nil {
			return fmt.Errorf("cannot list the dead letters: %w", err)
		}
		for _, s := range all {
			names = append(names, s.Sink)
		}
	}
	out := bufio.NewWriter(p.stdout)
	n, damaged := 0, 0
	for _, name := range names {
		bad, err := deadletter.Each(root, name, func(line []byte, _ *deadletter.Line) error {
			if c.Limit > 0 && n == c.Limit {
				return errEnough
			}
			n++
			_, err := out.Write(append(line, '\n'))
			return err
		})
		damaged += bad
		if err != nil && !errors.Is(err, errEnough) {
			return fmt.Errorf("cannot read the dead letters of %s: %w", name, err)
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if damaged > 0 {
		return fmt.Errorf("%d damaged lines were passed over", damaged)
	}
	return nil
}

type deadLetterReplayCommand struct {
	Sink string `placeholder:"NAME" help:"Only those of this sink."`
	operatorKey
	settingFlags
}

// errStayed is the result of a replay after which letters are left.
var errStayed = errors.New("not all dead letters were taken; those that were not are kept")

// Run is called by kong.
func (c *deadLetterReplayCommand) Run(ctx context.Context, p *program) error {
	cfg, _, err := c.load(p)
	if err != nil {
		return err
	}
	address := opsURL(cfg.OpsListen) + "/v1/deadletters/replay"
	if c.Sink != "" {
		address += "?sink=" + url.QueryEscape(c.Sink)
	}
	req, err := c.request(ctx, http.MethodPost, address)
	if err != nil {
		return err
	}
	// A replay waits until the store has made safe what it took, so there is
	// no timeout here.
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("cannot reach the service, which has to run for a replay (ops_listen: %s): %w", cfg.OpsListen, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("cannot read the service's answer: %w", err)
	}
	var answer struct {
		ops.Replay
		Detail string
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Detail != "" {
		return fmt.Errorf("the service answered %s: %.300s", resp.Status, answer.Detail)
	}
	stayed := false
	for _, s := range answer.Sinks {
		fmt.Fprintf(p.stdout, "%s: %d stored, %d refused again\n", s.Sink, s.Stored, s.Refused)
		if s.Error != "" {
			fmt.Fprintf(p.stdout, "%s: %s\n", s.Sink, s.Error)
		}
		stayed = stayed || s.Refused > 0 || s.Ended
	}
	if stayed {
		return errStayed
	}
	return nil
}

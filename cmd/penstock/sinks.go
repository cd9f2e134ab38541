package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/cmd/penstock/app"
	"github.com/penstock-io/penstock/cmd/penstock/config"
	"github.com/penstock-io/penstock/ingest/journal"
	"github.com/penstock-io/penstock/ingest/journal/inspect"
	"github.com/penstock-io/penstock/sink"
	"github.com/penstock-io/penstock/sink/postgres"
)

// sinkCommands are about the stores that the configuration names.
type sinkCommands struct {
	List    sinkListCommand    `cmd:"" help:"List the sinks of the configuration, and their state if the service runs."`
	Check   sinkCheckCommand   `cmd:"" help:"Connect to the stores as the service would, and say what they answer. Nothing is stored."`
	Forget  sinkForgetCommand  `cmd:"" help:"Give up what the journal keeps for a sink that the configuration does not have any more."`
	Migrate sinkMigrateCommand `cmd:"" help:"Create or change the tables of a PostgreSQL sink. The service never does."`
}

// find returns the sinks of the configuration, or the one of that name.
func findSinks(cfg config.Config, name string) ([]config.Sink, error) {
	if name == "" {
		return cfg.Sinks, nil
	}
	i := slices.IndexFunc(cfg.Sinks, func(s config.Sink) bool { return s.Name == name })
	if i < 0 {
		return nil, usageError{fmt.Errorf("the configuration has no sink %q", name)}
	}
	return cfg.Sinks[i : i+1], nil
}

type sinkListCommand struct {
	operatorKey
	settingFlags
}

// Run is called by kong.
func (c *sinkListCommand) Run(ctx context.Context, p *program) error {
	cfg, _, err := c.load(p)
	if err != nil {
		return err
	}
	running, orphans := askReady(ctx, c.operatorKey, cfg.OpsListen)
	out := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "NAME\tTYPE\tTO\tSTATE\tBACKLOG BYTES\tLAG\tDEAD LETTERS")
	row := func(name, kind, to string) {
		st, ok := running["sink/"+name]
		switch {
		case running == nil:
			fmt.Fprintf(out, "%s\t%s\t%s\t-\t-\t-\t-\n", name, kind, to)
		case !ok:
			fmt.Fprintf(out, "%s\t%s\t%s\tnot in the service that runs\t-\t-\t-\n", name, kind, to)
		default:
			state := "ok"
			if !st.OK {
				state = st.Detail
			}
			lag := time.Duration(st.State.Lag * float64(time.Second)).Round(time.Second)
			fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%d\t%s\t%d\n", name, kind, to, state, st.State.Backlog, lag, st.State.DeadLettered)
		}
	}
	if cfg.Store.Enabled {
		row(config.EmbeddedSink, config.EmbeddedSink, cfg.DataDir)
	}
	for _, s := range cfg.Sinks {
		row(s.Name, s.Type, s.Destination())
	}
	if running == nil {
		orphans = restingOrphans(cfg)
	}
	for _, o := range orphans {
		fmt.Fprintf(out, "%s\t-\t-\tnot configured; penstock sink forget %s gives its backlog up\t%d\t-\t-\n", o.Name, o.Name, o.Backlog)
	}
	return out.Flush()
}

// readySink is what /readyz says of one sink.
type readySink struct {
	Name   string
	OK     bool
	Detail string
	State  struct {
		Backlog      uint64  `json:"backlog_bytes"`
		Lag          float64 `json:"lag_seconds"`
		DeadLettered uint64  `json:"dead_lettered"`
	}
}

// orphan is a sink that is not configured, for which the journal keeps a
// backlog.
type orphan struct {
	Name    string `json:"name"`
	Backlog uint64 `json:"backlog_bytes"`
}

// askReady asks the service that runs with this configuration. It returns nil
// if there is none.
func askReady(ctx context.Context, key operatorKey, ops string) (sinks map[string]readySink, orphans []orphan) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := key.request(ctx, http.MethodGet, opsURL(ops)+"/readyz")
	if err != nil {
		return nil, nil
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil
	}
	defer resp.Body.Close()
	var ready struct {
		Checks  []readySink
		Orphans []orphan `json:"sinks_not_configured"`
	}
	if json.NewDecoder(resp.Body).Decode(&ready) != nil {
		return nil, nil
	}
	found := map[string]readySink{}
	for _, c := range ready.Checks {
		found[c.Name] = c
	}
	return found, ready.Orphans
}

// restingOrphans reads them from a data directory that no service has open.
func restingOrphans(cfg config.Config) (list []orphan) {
	rep, err := inspect.OS().Look(filepath.Join(cfg.DataDir, "journal"))
	if err != nil {
		return nil // there is no journal yet
	}
	for _, c := range rep.Consumers {
		configured := c.Name == config.EmbeddedSink && cfg.Store.Enabled ||
			slices.ContainsFunc(cfg.Sinks, func(s config.Sink) bool { return s.Name == c.Name })
		if !configured {
			list = append(list, orphan{c.Name, c.Backlog})
		}
	}
	return list
}

// opsURL is where the operator's listener is found from this machine.
func opsURL(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "http://" + listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}

type sinkCheckCommand struct {
	Name    string        `arg:"" optional:"" help:"Name of the sink. Default: all of them."`
	Timeout time.Duration `default:"15s" help:"Longest time for each."`
	settingFlags
}

var errUnreachable = errors.New("not all sinks can be written to")

// Run is called by kong.
func (c *sinkCheckCommand) Run(ctx context.Context, p *program) error {
	cfg, _, err := c.load(p)
	if err != nil {
		return err
	}
	sinks, err := findSinks(cfg, c.Name)
	if err != nil {
		return err
	}
	if len(sinks) == 0 {
		_, err := fmt.Fprintln(p.stdout, "the configuration has no sinks")
		return err
	}
	for _, s := range sinks {
		result := "ok"
		if e := checkSink(ctx, s, c.Timeout); e != nil {
			result, err = e.Error(), errUnreachable
		}
		fmt.Fprintf(p.stdout, "%s (%s, %s): %s\n", s.Name, s.Type, s.Destination(), result)
	}
	return err
}

func checkSink(ctx context.Context, cfg config.Sink, timeout time.Duration) (err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	w, closeStore, err := app.OpenStore(cfg, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	checker, ok := w.(interface{ Check(context.Context) error })
	if !ok {
		return nil
	}
	err = checker.Check(ctx)
	if refused := (*sink.Refused)(nil); errors.As(err, &refused) {
		return nil // it answers, and does not like an empty request
	}
	return err
}

type sinkMigrateCommand struct {
	Name    string        `arg:"" help:"Name of the sink."`
	Print   bool          `help:"Print the script for a new database, and do nothing."`
	Timeout time.Duration `default:"10m" help:"Longest time that it may take."`
	settingFlags
}

// Run is called by kong.
func (c *sinkMigrateCommand) Run(ctx context.Context, p *program) error {
	cfg, _, err := c.load(p)
	if err != nil {
		return err
	}
	sinks, err := findSinks(cfg, c.Name)
	if err != nil {
		return err
	}
	s := sinks[0]
	if s.Type != config.TypePostgres {
		return usageError{fmt.Errorf("sink %s has the type %s, which has no tables", s.Name, s.Type)}
	}
	if c.Print {
		_, err := fmt.Fprint(p.stdout, postgres.Script(s.Postgres))
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	m, err := postgres.Migrate(ctx, s.Postgres)
	if err != nil {
		return fmt.Errorf("cannot migrate sink %s: %w", s.Name, err)
	}
	kind := "tables"
	if m.Hypertable {
		kind = "hypertable"
	}
	if m.From == m.To {
		_, err = fmt.Fprintf(p.stdout, "%s: the %s has version %d already\n", s.Name, kind, m.To)
	} else {
		_, err = fmt.Fprintf(p.stdout, "%s: %s brought from version %d to %d\n", s.Name, kind, m.From, m.To)
	}
	return err
}

type sinkForgetCommand struct {
	Name string `arg:"" help:"Name of the sink."`
	operatorKey
	settingFlags
}

// Run is called by kong. It asks the service, or changes the data directory if
// none runs.
func (c *sinkForgetCommand) Run(ctx context.Context, p *program) error {
	cfg, _, err := c.load(p)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(cfg.Sinks, func(s config.Sink) bool { return s.Name == c.Name }) || c.Name == config.EmbeddedSink && cfg.Store.Enabled {
		return usageError{fmt.Errorf("the configuration has the sink %q; take it out first", c.Name)}
	}
	if running, _ := askReady(ctx, c.operatorKey, cfg.OpsListen); running != nil {
		if err := postOps(ctx, c.operatorKey, cfg.OpsListen, "/v1/sinks/forget?sink="+url.QueryEscape(c.Name)); err != nil {
			return fmt.Errorf("cannot forget the sink: %w", err)
		}
	} else {
		err := journal.ForgetConsumer(filepath.Join(cfg.DataDir, "journal"), c.Name, journal.OSEnv())
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the journal in %s keeps nothing for a sink %q", cfg.DataDir, c.Name)
		}
		if err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(p.stdout, "%s: forgotten\n", c.Name)
	return err
}

// postOps posts to the operator's listener, and returns what it answers if
// that is no success.
func postOps(ctx context.Context, key operatorKey, ops, path string) error {
	req, err := key.request(ctx, http.MethodPost, opsURL(ops)+path)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode < 300 {
		return nil
	}
	var problem struct{ Detail string }
	_ = json.NewDecoder(resp.Body).Decode(&problem) // without it the status has to do
	return fmt.Errorf("the service answers %s: %s", resp.Status, problem.Detail)
}

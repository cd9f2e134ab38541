package postgres

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/sink"
	"github.com/penstock-io/penstock/sink/sinktest"
)

// server is a PostgreSQL that all tests share, each with a database of its
// own; nil where it is not installed.
var server *sinktest.Postgres

func TestMain(m *testing.M) {
	flag.Parse()
	p, err := sinktest.NewPostgres("max_connections=200")
	if err != nil && !errors.Is(err, sinktest.ErrNotInstalled) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	server = p
	code := m.Run()
	if p != nil {
		p.Close()
	}
	os.Exit(code)
}

// base is the time of the events that tests make up.
const base = 1_795_224_292_123

// database creates a database and the settings of a sink that writes there.
func database(t testing.TB) (Config, string) {
	t.Helper()
	if server == nil {
		sinktest.StartPostgres(t) // which skips
	}
	db := server.Database(t)
	cfg := DefaultConfig()
	cfg.DSN = server.URL(db)
	return cfg, db
}

// migrated is database with the tables.
func migrated(t testing.TB) (Config, string) {
	t.Helper()
	cfg, db := database(t)
	if _, err := Migrate(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	return cfg, db
}

func open(t testing.TB, cfg Config) *Writer {
	t.Helper()
	w, err := New("pg", cfg, slog.New(slog.NewTextHandler(io.Discard, nil)), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func write(t testing.TB, w *Writer, batches ...*event.Batch) {
	t.Helper()
	if err := w.Write(t.Context(), batches); err != nil {
		t.Fatal(err)
	}
}

func psql(t testing.TB, db, sql string) string {
	t.Helper()
	out, err := server.Psql(db, sql)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// stored returns what the view holds.
func stored(t testing.TB, p *sinktest.Postgres, db, view string) sinktest.Samples {
	t.Helper()
	out, err := p.Psql(db, `COPY (SELECT json_build_array(device, name, labels, (extract(epoch FROM time) * 1000)::bigint, value::text) FROM `+view+`) TO STDOUT`)
	if err != nil {
		t.Fatal(err)
	}
	all := sinktest.Samples{}
	for line := range strings.Lines(out) {
		var device, name, value string
		var labels map[string]string
		var ts int64
		// COPY doubles backslashes.
		text := strings.ReplaceAll(line, `\\`, `\`)
		if err := json.Unmarshal([]byte(text), &[]any{&device, &name, &labels, &ts, &value}); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatal(err)
		}
		labels["device"] = device
		series := sinktest.Series(name, labels)
		if _, ok := all[series][ts]; ok {
			t.Errorf("%s has two samples at %d", series, ts)
		}
		all.Add(series, ts, v)
	}
	return all
}

// one event with a field "v", and tags in pairs.
func reading(device string, ts int64, v float64, tags ...string) *event.Batch {
	b := new(event.Pool).Get(0)
	for i := 0; i < len(tags); i += 2 {
		b.AddTag(tags[i], tags[i+1])
	}
	b.AddField("v", v)
	b.Commit(0, device, ts)
	return b
}

// refusal returns the error as a refusal.
func refusal(t testing.TB, err error) *sink.Refused {
	t.Helper()
	var r *sink.Refused
	if !errors.As(err, &r) {
		t.Fatalf("got %v, want a refusal", err)
	}
	return r
}

// notRefused fails unless err is an error that is tried again and has text.
func notRefused(t testing.TB, err error, text string) {
	t.Helper()
	var r *sink.Refused
	if err == nil || errors.As(err, &r) || !strings.Contains(err.Error(), text) {
		t.Fatalf("got %v, want an error that is tried again and says %q", err, text)
	}
}

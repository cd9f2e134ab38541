package enrich

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock-io/penstock/enrich/source/postgres"
	"github.com/penstock-io/penstock/internal/settings"
	"github.com/penstock-io/penstock/sink/sinktest"
)

// postgresSource is a source whose dear settings suit a test.
func postgresSource(url string, edit func(*postgres.Config)) Source {
	s := Source{Type: typePostgres}
	settings.FillZero(&s)
	s.Name = "db"
	s.Postgres.DSN = url
	s.Postgres.Query = "SELECT device, site, updated_at, deleted FROM devices"
	s.Postgres.ChangeColumn, s.Postgres.DeletedColumn = "updated_at", "deleted"
	s.Postgres.PollInterval, s.Postgres.ReloadInterval = 50*time.Millisecond, time.Hour
	if edit != nil {
		edit(&s.Postgres)
	}
	return s
}

const devicesTable = `
CREATE TABLE devices (device text PRIMARY KEY, site text, updated_at timestamptz NOT NULL DEFAULT clock_timestamp(), deleted boolean NOT NULL DEFAULT false);
INSERT INTO devices SELECT 'd' || i, 'north' FROM generate_series(1, 1000) i;`

// A changed row shows within the poll interval, a tombstone and a new one as
// well; while the server is away everything stays, also over a restart of
// Penstock; and it is followed again when it is back.
func TestPostgres(t *testing.T) {
	t.Parallel()
	server := sinktest.StartPostgres(t)
	database := server.Database(t)
	sql := func(text string) {
		t.Helper()
		if _, err := server.Psql(database, text); err != nil {
			t.Fatal(err)
		}
	}
	sql(devicesTable)
	cfg := testConfig()
	cfg.Dir = t.TempDir()
	cfg.Sources = []Source{postgresSource(server.URL(database), nil)}
	f := load(t, cfg)
	stop := f.watch()
	if f.Len() != 1000 || value(f.Table, "d7", "site") != "north" {
		t.Fatalf("%d devices", f.Len())
	}
	if l, _ := f.Lookup("d7"); l.Len() != 1 {
		t.Errorf("labels %v", l.All())
	}

	began := time.Now()
	sql("UPDATE devices SET site='south', updated_at=clock_timestamp() WHERE device='d7'")
	f.site("d7", "south")
	t.Logf("a changed row showed after %s with poll_interval 50ms", time.Since(began))
	sql("UPDATE devices SET deleted=true, updated_at=clock_timestamp() WHERE device='d8'; INSERT INTO devices VALUES ('new','east')")
	f.site("new", "east")
	f.eventually("d8 is gone", func() bool { _, ok := f.Lookup("d8"); return !ok })
	if s := f.Status(); s.Version < 3 || s.Sources[0].Rows != 1000 || s.Sources[0].State != "ok" {
		t.Errorf("%+v", s)
	}

	server.Kill()
	f.eventually("its absence shows", func() bool { return f.Status().Sources[0].State == "stale" })
	f.wantMetric(`penstock_enrich_source_up{source="db"}`, "0")
	f.site("d7", "south")
	if age := f.Status().Sources[0].AgeSeconds; age == nil {
		t.Error("no age")
	}
	stop()
	f = load(t, cfg)
	stop = f.watch()
	f.site("d7", "south")
	if s := f.Status(); s.Sources[0].State != "copy" || s.Devices != 1000 {
		t.Errorf("%+v", s)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	sql("UPDATE devices SET site='back', updated_at=clock_timestamp() WHERE device='d7'")
	f.site("d7", "back")
	f.eventually("all is well", func() bool { return f.Status().Sources[0].State == "ok" })
	stop()
}

// LISTEN shows a change at once, a deleted row too, and what happened while
// the server was away.
func TestPostgresListen(t *testing.T) {
	t.Parallel()
	server := sinktest.StartPostgres(t)
	database := server.Database(t)
	sql := func(text string) {
		t.Helper()
		if _, err := server.Psql(database, text); err != nil {
			t.Fatal(err)
		}
	}
	sql(devicesTable + `
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_notify('devices', coalesce(new.device, old.device)); RETURN NULL; END $$;
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON devices FOR EACH ROW EXECUTE FUNCTION tell();`)
	cfg := testConfig()
	cfg.Sources = []Source{postgresSource(server.URL(database), func(c *postgres.Config) {
		c.Query, c.ChangeColumn, c.DeletedColumn, c.Listen = "SELECT device, site FROM devices", "", "", "devices"
	})}
	f := load(t, cfg)
	f.watch()
	f.eventually("it listens", func() bool {
		out, err := server.Psql(database, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'penstock'")
		return err == nil && out == "1"
	})
	began := time.Now()
	sql("UPDATE devices SET site='south' WHERE device='d7'")
	f.site("d7", "south")
	t.Logf("a changed row showed after %s, psql included", time.Since(began))
	sql("DELETE FROM devices WHERE device='d8'")
	f.eventually("d8 is gone", func() bool { _, ok := f.Lookup("d8"); return !ok })

	server.Kill()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	sql("UPDATE devices SET site='west' WHERE device='d9'")
	f.site("d9", "west")
}

// Rows that vanish without a word are found by reading everything again.
func TestPostgresReload(t *testing.T) {
	t.Parallel()
	server := sinktest.StartPostgres(t)
	database := server.Database(t)
	if _, err := server.Psql(database, devicesTable); err != nil {
		t.Fatal(err)
	}
	cfg := testConfig()
	cfg.Sources = []Source{postgresSource(server.URL(database), func(c *postgres.Config) { c.ReloadInterval = 50 * time.Millisecond })}
	f := load(t, cfg)
	f.watch()
	if _, err := server.Psql(database, "DELETE FROM devices WHERE device='d8'"); err != nil {
		t.Fatal(err)
	}
	f.eventually("d8 is gone", func() bool { _, ok := f.Lookup("d8"); return !ok })
}

func TestPostgresLookup(t *testing.T) {
	t.Parallel()
	server := sinktest.StartPostgres(t)
	database := server.Database(t)
	if _, err := server.Psql(database, devicesTable); err != nil {
		t.Fatal(err)
	}
	cfg := testConfig()
	cfg.Lookup.Type = typePostgres
	cfg.Lookup.Postgres.DSN = server.URL(database)
	cfg.Lookup.Postgres.Query = "SELECT device, site FROM devices WHERE device = $1"
	cfg.Lookup.ErrorTTL = 20 * time.Millisecond
	f := load(t, cfg)
	f.watch()
	f.eventually("d7 is found", func() bool { return f.sites("d7", "nobody") == "site=north -" })
	server.Kill()
	f.eventually("d8 cannot be found", func() bool { f.sites("d8"); return f.Status().Lookup.Failing })
	if got := f.sites("d7", "d8"); got != "site=north -" {
		t.Error(got)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	f.eventually("d8 is found", func() bool { return f.sites("d8") == "site=north" })
}

// webServer serves a document with an ETag, compressed.
type webServer struct {
	*httptest.Server
	mu          sync.Mutex
	kind, text  string
	etag        int
	sent, asked atomic.Int64
}

func newWebServer(t *testing.T, kind, text string) *webServer {
	s := &webServer{kind: kind, text: text}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *webServer) set(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = text
	s.etag++
}

func (s *webServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked.Add(1)
	etag := fmt.Sprintf(`"%d"`, s.etag)
	w.Header().Set("ETag", etag)
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	s.sent.Add(1)
	w.Header().Set("Content-Type", s.kind)
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	_, _ = io.WriteString(z, s.text)
	_ = z.Close()
}

// What has not changed is neither sent nor built anew; what cannot be read
// leaves the old table, and is tried again.
func TestHTTP(t *testing.T) {
	t.Parallel()
	srv := newWebServer(t, "text/csv", "device,site\na,north\nb,north\n")
	cfg := testConfig()
	cfg.Dir = t.TempDir()
	s := webSource()
	s.HTTP.URL, s.HTTP.PollInterval = srv.URL+"/devices", 10*time.Millisecond
	cfg.Sources = []Source{s}
	f := load(t, cfg)
	stop := f.watch()
	f.site("a", "north")
	before := srv.asked.Load()
	f.eventually("it is asked for again and again", func() bool { return srv.asked.Load() > before+5 })
	if n := srv.sent.Load(); n != 1 || f.Version() != 1 {
		t.Errorf("sent %d times, version %d", n, f.Version())
	}
	srv.set("device,site\na,south\nb,north\n")
	f.site("a", "south")
	srv.set("device,site\na,\"west\nb,north\n")
	f.eventually("its fault shows", func() bool { return strings.Contains(f.Status().Sources[0].LastError, "web:2: column") })
	f.site("a", "south")
	srv.set("device,site\na,west\nb,north\n")
	f.site("a", "west")
	f.eventually("all is well", func() bool { return f.Status().Sources[0].LastError == "" })
	stop()

	// Without the server the copy serves.
	srv.Close()
	f = load(t, cfg)
	f.site("a", "west")
	if st := f.Status().Sources[0]; st.State != "copy" {
		t.Errorf("%+v", st)
	}
	// A copy of other settings does not.
	cfg.Sources[0].HTTP.URL += "/other"
	if f = load(t, cfg); f.Len() != 0 || !f.log.contains("is of other settings") {
		t.Errorf("%d devices", f.Len())
	}
}

// A document is bounded after decompression, has a known form, and is whole.
func TestHTTPRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		kind, text, want string
		cut              bool
	}{
		{"text/csv", "device,site\na," + strings.Repeat("x", 256) + "\nb," + strings.Repeat("x", 256) + "\nc," + strings.Repeat("\"x\"", 10_000), "more bytes than max_bytes, which is 1000", false},
		{"text/html", "<html>", "set format", false},
		{"application/json", `[{"device":"a"}`, "unexpected EOF", false},
		{"application/x-ndjson", "{\"device\":\"a\"}\n{\"device\":\"b\"}\n", "cannot read the answer", true},
	} {
		var handler http.Handler = &webServer{kind: test.kind, text: test.text}
		if test.cut {
			handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", test.kind)
				w.Header().Set("Content-Length", "1000")
				_, _ = io.WriteString(w, test.text)
			})
		}
		srv := httptest.NewServer(handler)
		cfg := testConfig()
		s := webSource()
		s.Required = true
		s.HTTP.URL, s.HTTP.MaxBytes = srv.URL, 1000
		cfg.Sources = []Source{s}
		if _, err := newRemoteTable(cfg); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.kind, err)
		}
		srv.Close()
	}
}

func TestHTTPLookup(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/flat":
			_, _ = io.WriteString(w, `{"device":"flat","site":"north"}`)
		case "/nested":
			_, _ = io.WriteString(w, `{"labels":{"site":"south"}}`)
		case "/bad":
			_, _ = io.WriteString(w, `{"site":["x"]}`)
		default:
			http.NotFound(w, r)
		}
	}))
	defer srv.Close()
	cfg := testConfig()
	cfg.Lookup.Type = typeHTTP
	cfg.Lookup.HTTP.URL = srv.URL + "/{device}"
	f := load(t, cfg)
	f.watch()
	f.eventually("all are answered", func() bool {
		return f.sites("flat", "nested", "bad", "nobody") == "site=north site=south - -" &&
			f.metric(`penstock_enrich_cache_lookups_total{result="error"}`) == "1"
	})
	if !f.log.contains(`label \"site\": expected a string`) {
		t.Errorf("log:\n%s", f.log)
	}
}

// A configuration that cannot work names its key, and no secret.
func TestNewNamesTheKey(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		edit func(*Source)
		want string
	}{
		{func(s *Source) { s.Type = "ldap" }, `sources[0].type: must be file, postgres or http, got "ldap"`},
		{func(s *Source) { s.Name = "" }, "sources[0].name: must be set"},
		{func(s *Source) { s.Name = "Über" }, "sources[0].name: must match"},
		{func(s *Source) { s.Name = "overrides" }, "sources[0].name: "},
		{func(s *Source) { s.Path = "x.csv" }, "sources[0].path: is for type file"},
		{func(s *Source) { s.HTTP.URL = "http://u:hunter2@h/" }, "sources[0].http.url: must not contain a user"},
		{func(s *Source) { s.HTTP.TLS.CAFile = "/nowhere" }, "sources[0].http.tls.ca_file: open /nowhere"},
		{func(s *Source) { s.HTTP.BearerToken = "${TEST_PENSTOCK_NONE}" }, "sources[0].http.bearer_token: the environment has no variable"},
		{func(s *Source) { s.Type = typePostgres }, "sources[0].postgres.dsn: must be set"},
		{func(s *Source) {
			s.Type, s.Postgres.DSN, s.Postgres.Query = typePostgres, "postgres://u:hunter2 x@h/d", "SELECT 1"
		}, "sources[0].postgres.dsn: cannot be understood"},
		{func(s *Source) {
			s.Type, s.Postgres.DSNFile, s.Postgres.Query = typePostgres, "/nowhere", "SELECT 1"
		}, "sources[0].postgres.dsn_file: stat /nowhere"},
	} {
		cfg := testConfig()
		s := webSource()
		s.HTTP.URL = "http://127.0.0.1:1/"
		test.edit(&s)
		cfg.Sources = []Source{s}
		_, err := newRemoteTable(cfg)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("want %s, got %v", test.want, err)
		}
	}
	cfg := testConfig()
	cfg.Lookup.Type, cfg.Lookup.MaxInFlight = typePostgres, 0
	_, err := newRemoteTable(cfg)
	for _, want := range []string{"lookup.postgres.dsn: must be set", "lookup.postgres.query: must be set", "lookup.max_in_flight: must be between 1 and 256"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s, got %v", want, err)
		}
	}
}

// Copies are for the service's own user.
func TestCopyMode(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "enrichment")
	o := newFakeOrigin("a=north")
	f := mustRemoteTable(t, dir, nil, o)
	stop := f.watch()
	stop()
	info, err := os.Stat(filepath.Join(dir, "source-remote-0.ndjson"))
	if errors.Is(err, os.ErrNotExist) || info.Mode().Perm() != 0o600 {
		t.Error(info, err)
	}
}

// webSource is a source behind a URL.
func webSource() Source {
	s := Source{Type: typeHTTP}
	settings.FillZero(&s)
	s.Name = "web"
	return s
}

package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock-io/penstock/enrich/row"
	"github.com/penstock-io/penstock/internal/postgres"
	"github.com/penstock-io/penstock/internal/settings"
	"github.com/penstock-io/penstock/sink/sinktest"
)

// server is shared by all tests; nil if PostgreSQL is not installed.
var server *sinktest.Postgres

func TestMain(m *testing.M) {
	var err error
	if server, err = sinktest.NewPostgres(); err != nil && (os.Getenv("CI") == "true" || !errors.Is(err, sinktest.ErrNotInstalled)) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if server != nil {
		server.Close()
	}
	os.Exit(code)
}

// database returns the URL of a new database in which sql has been run, and
// a connection to it.
func database(t *testing.T, sql string) (string, *pgconn.PgConn) {
	t.Helper()
	if server == nil {
		t.Skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
	}
	url := server.URL(server.Database(t))
	return url, connectTo(t, url, sql)
}

func connectTo(t *testing.T, url, sql string) *pgconn.PgConn {
	t.Helper()
	c, err := pgconn.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	run(t, c, sql)
	return c
}

func run(t *testing.T, c *pgconn.PgConn, sql string) {
	t.Helper()
	if _, err := c.Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

var discard = slog.New(slog.DiscardHandler)

// connection is one to the database of that URL.
func connection(url string) Connection {
	c := DefaultConfig().Connection
	c.DSN = url
	return c
}

// filled returns the settings with the defaults for what they leave out.
func filled(cfg Config) Config {
	settings.FillZero(&cfg)
	return cfg
}

func open(t *testing.T, cfg Config, device string) *Source {
	t.Helper()
	src, err := New(filled(cfg), device, discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := src.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(src.Close)
	return src
}

// text writes a row as "device a=1 b=2", its labels sorted.
func text(r row.Row) string {
	var labels []string
	for _, l := range r.Labels {
		labels = append(labels, l.Name+"="+l.Value)
	}
	slices.Sort(labels)
	out := strings.Join(append([]string{r.Device}, labels...), " ")
	if r.Gone {
		out += " gone"
	}
	if r.Fault != "" {
		out += " fault: " + r.Fault
	}
	return out
}

func fetch(t *testing.T, s *Source) []string {
	t.Helper()
	var rows []string
	if err := s.Fetch(t.Context(), func(r row.Row) error { rows = append(rows, text(r)); return nil }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(rows)
	return rows
}

func poll(t *testing.T, s *Source) []string {
	t.Helper()
	var all []string
	if err := s.poll(t.Context(), func(rows []row.Row) error {
		for _, r := range rows {
			all = append(all, text(r))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

func want(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Every type has its text; NULL is no label; JSON is an object of labels.
func TestFetchTypes(t *testing.T) {
	t.Parallel()
	url, _ := database(t, `
CREATE TABLE d (serial int, site text, active boolean, height numeric, at timestamptz, labels jsonb, extra json);
INSERT INTO d VALUES
 (1, 'north', true, 1.50, '2026-01-02 03:04:05.678901+02', '{"line":"4","n":12345678901234567890,"ok":true,"none":null}', NULL),
 (2, NULL, NULL, NULL, NULL, NULL, NULL), (3, 'x', NULL, NULL, NULL, '[1]', NULL), (4, 'x', NULL, NULL, NULL, NULL, '{}'), (5, 'x', NULL, NULL, NULL, '{"a":{}}', NULL), (NULL, 'x', NULL, NULL, NULL, NULL, NULL);`)
	s := open(t, Config{Connection: connection(url), Query: "SELECT * FROM d ; "}, "serial")
	want(t, "rows", fetch(t, s),
		" site=x fault: the device is NULL",
		"1 active=true at=2026-01-02 01:04:05.678901+00 height=1.50 line=4 n=12345678901234567890 ok=true site=north",
		"2",
		"3 site=x fault: column labels: expected an object of labels",
		`4 site=x fault: column "extra" is JSON: only one named labels may be; take a member of it by ->>`,
		`5 site=x fault: column labels: label "a": expected a string, a number or a boolean`)
}

// What a poll finds: ties, and what was committed late, within the overlap.
func TestPoll(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"timestamptz", "bigint"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			at := func(n int) string {
				if kind == "bigint" {
					return fmt.Sprint(n)
				}
				return fmt.Sprintf("'2026-01-01 00:00:%02d+00'", n)
			}
			url, c := database(t, `CREATE TABLE d (device text, site text, "Changed" `+kind+`, deleted boolean); INSERT INTO d VALUES ('a','1',`+at(1)+`,NULL), ('dead','1',`+at(1)+`,true), ('never','1',NULL,NULL)`)
			s := open(t, Config{Connection: connection(url), Query: "SELECT * FROM d", ChangeColumn: "Changed", DeletedColumn: "deleted"}, "device")
			want(t, "all", fetch(t, s), "a site=1", "never site=1")

			late := connectTo(t, url, "BEGIN; INSERT INTO d VALUES ('late','1',"+at(2)+")")
			run(t, c, "INSERT INTO d VALUES ('b','1',"+at(3)+")")
			want(t, "b is new", poll(t, s), "a site=1", "b site=1", "dead site=1 gone")
			run(t, c, "INSERT INTO d VALUES ('tie','1',"+at(3)+"); UPDATE d SET deleted=true, \"Changed\"="+at(4)+" WHERE device='a'")
			want(t, "a tie, and a tombstone", poll(t, s), "a site=1 gone", "b site=1", "dead site=1 gone", "tie site=1")
			run(t, late, "COMMIT")
			if got := poll(t, s); !slices.Contains(got, "late site=1") {
				t.Errorf("what was committed late is not in %q", got)
			}

			// When the overlap has passed, what is old is not read any more.
			for i := range s.marks {
				s.marks[i].at = s.marks[i].at.Add(-2 * time.Minute)
			}
			poll(t, s)
			want(t, "what is not older than the highest value then", poll(t, s), "a site=1 gone")
			if len(s.marks) > 3 {
				t.Errorf("%d marks are kept", len(s.marks))
			}
		})
	}
}

// A table without a value to begin with is polled for any.
func TestPollFromNothing(t *testing.T) {
	t.Parallel()
	url, c := database(t, `CREATE TABLE d (device text, at timestamptz)`)
	s := open(t, Config{Connection: connection(url), Query: "SELECT * FROM d", ChangeColumn: "at"}, "device")
	want(t, "nothing", fetch(t, s))
	run(t, c, "INSERT INTO d VALUES ('a', now())")
	want(t, "a", poll(t, s), "a")
}

// After the first fetch one more is due when the overlap has passed: what was
// being committed meanwhile lies below every mark.
func TestFollowFetchesOnceMore(t *testing.T) {
	t.Parallel()
	url, _ := database(t, `CREATE TABLE d (device text, at timestamptz)`)
	s := open(t, Config{Connection: connection(url), Query: "SELECT * FROM d", ChangeColumn: "at",
		PollInterval: 10 * time.Millisecond, ChangeOverlap: 50 * time.Millisecond, ReloadInterval: time.Hour}, "device")
	fetch(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.Follow(ctx, func([]row.Row) error { return nil }); err != nil {
		t.Fatalf("the second fetch is not asked for: %v", err)
	}
	fetch(t, s)
	short, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer stop()
	if err := s.Follow(short, func([]row.Row) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a third fetch is asked for: %v", err)
	}
}

// Notifications name devices; those that are not there any more are gone.
func TestListen(t *testing.T) {
	t.Parallel()
	url, c := database(t, `CREATE TABLE d (device text, site text); INSERT INTO d VALUES ('a','1'),('b','1')`)
	s := open(t, Config{Connection: connection(url), Query: "SELECT * FROM d -- all", Listen: `odd "name`}, "device")
	run(t, c, `UPDATE d SET site='2' WHERE device='a'; NOTIFY "odd ""name", 'a'`) // before the fetch, and not lost
	want(t, "all", fetch(t, s), "a site=2", "b site=1")
	run(t, c, `DELETE FROM d WHERE device='b'; INSERT INTO d VALUES ('ä"''','3'); NOTIFY "odd ""name", 'b'; NOTIFY "odd ""name", 'ä"'''`)
	var got []string
	enough := errors.New("enough")
	err := s.Follow(t.Context(), func(rows []row.Row) error {
		for _, r := range rows {
			got = append(got, text(r))
		}
		if len(got) < 3 {
			return nil
		}
		return enough
	})
	if !errors.Is(err, enough) {
		t.Fatal(err)
	}
	slices.Sort(got)
	want(t, "changes", got, "a site=2", "b gone", `ä"' site=3`)

	run(t, c, `NOTIFY "odd ""name"`)
	if err := s.Follow(t.Context(), func([]row.Row) error { return nil }); err != nil || !s.whole {
		t.Errorf("a notification without a device: %v", err)
	}
}

// A flood of notifications is taken for a change of everything, and does not
// grow without bound.
func TestListenFlood(t *testing.T) {
	t.Parallel()
	url, c := database(t, `CREATE TABLE d (device text)`)
	s := open(t, Config{Connection: connection(url), Query: "SELECT * FROM d", Listen: "c"}, "device")
	run(t, c, `SELECT pg_notify('c', i::text) FROM generate_series(1, 30000) i`)
	fetch(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.Follow(ctx, func([]row.Row) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if len(s.heard) > maxHeard+1 {
		t.Errorf("%d notifications are kept", len(s.heard))
	}
}

// A server that ends is noticed at once, without a query.
func TestConnectionLost(t *testing.T) {
	t.Parallel()
	url, c := database(t, `CREATE TABLE d (device text)`)
	s := open(t, Config{Connection: connection(url), Query: "SELECT * FROM d"}, "device")
	fetch(t, s)
	run(t, c, fmt.Sprintf("SELECT pg_terminate_backend(%d)", s.conn.PID()))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.Follow(ctx, func([]row.Row) error { return nil }); err == nil || ctx.Err() != nil {
		t.Errorf("%v", err)
	}
}

func TestQueryErrors(t *testing.T) {
	t.Parallel()
	url, _ := database(t, `CREATE TABLE d (device text, site text)`)
	for _, test := range []struct {
		cfg  Config
		want string
	}{
		{Config{Query: "SELECT nothing FROM d"}, "does not exist"},
		{Config{Query: "SELECT site FROM d"}, `the query has no column "device", which is device_column`},
		{Config{Query: "SELECT device FROM d", DeletedColumn: "gone"}, `the query has no column "gone", which is deleted_column`},
		{Config{Query: "SELECT device FROM d", ChangeColumn: "at"}, "does not exist"},
		{Config{Query: "SELECT 'a' AS device, pg_sleep(60)"}, "the query took longer than timeout"},
	} {
		test.cfg.DSN = url
		s := open(t, test.cfg, "device")
		if strings.Contains(test.want, "timeout") {
			s.timeout = 50 * time.Millisecond // connecting may take longer
		}
		if err := s.Fetch(t.Context(), func(row.Row) error { return nil }); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.cfg.Query, err)
		}
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	url, c := database(t, `CREATE TABLE d (device text, site text); INSERT INTO d VALUES ('a','1'),('two','1'),('two','2')`)
	cfg := LookupConfig{Connection: connection(url), Query: "SELECT * FROM d WHERE device = $1"}
	l, err := NewLookup(cfg, "device", 2, discard)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ask := func(device string) string {
		labels, found, err := l.Find(t.Context(), device)
		return fmt.Sprint(labels, found, err)
	}
	if got := ask("a"); got != "[{site 1}] true <nil>" {
		t.Error(got)
	}
	// A connection that died while it was idle is none of the caller's
	// business.
	run(t, c, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'penstock' AND datname = current_database()")
	if got := ask("a' OR true --"); got != "[] false <nil>" {
		t.Error(got)
	}
	if got := ask("two"); !strings.Contains(got, "more than one row") {
		t.Error(got)
	}
	if got := ask("a"); got != "[{site 1}] true <nil>" {
		t.Error(got)
	}
}

// No error tells the password, whatever is wrong with the DSN.
func TestSecrets(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	file := filepath.Join(t.TempDir(), "dsn")
	for _, dsn := range []string{
		"postgres://u:" + secret + "@127.0.0.1:1/d?connect_timeout=1",
		"postgres://u:" + secret + " x@host/d",
		"postgres://u:" + secret + "%zz@host/d",
		"postgres://u:" + secret + "@host:port/d",
		"postgres://u@host/d?password=" + secret + "&sslmode=maybe",
		"host=x password='" + secret + "",
		"host=127.0.0.1 port=1 user=u password=" + secret,
		"sslrootcert=/nowhere/ca.pem sslmode=verify-full host=x password=" + secret,
	} {
		cfg := filled(Config{Connection: connection(dsn), Query: "SELECT 1"})
		texts := []string{fmt.Sprint(settings.Validate(cfg))}
		src, err := New(cfg, "device", discard)
		if err == nil {
			texts = append(texts, src.Place())
			if err = src.Connect(t.Context()); err == nil {
				t.Errorf("connected to %s", dsn)
			}
		}
		texts = append(texts, fmt.Sprint(err))
		if err := os.WriteFile(file, []byte(dsn), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg.DSN, cfg.DSNFile = "", file
		if _, err := New(cfg, "device", discard); err != nil {
			texts = append(texts, err.Error())
		}
		if all := strings.Join(texts, "\n"); strings.Contains(all, secret) {
			t.Errorf("%s", all)
		}
	}
}

func TestDSN(t *testing.T) {
	url := "postgres://u:p@db.example:1234/fleet?sslmode=disable"
	t.Setenv("TEST_PENSTOCK_DSN", url)
	t.Setenv("TEST_PENSTOCK_HOST", "db.example")
	file := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(file, []byte(url+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []postgres.Connection{{DSN: url}, {DSN: "${TEST_PENSTOCK_DSN}"}, {DSN: "postgres://u:p@${TEST_PENSTOCK_HOST}:1234/fleet"}, {DSNFile: file}} {
		cfg := filled(Config{Query: "SELECT 1"})
		cfg.Connection.Connection = c
		src, err := New(cfg, "device", discard)
		if err != nil || src.Place() != "db.example:1234/fleet" {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		if conn, err := src.server.config(); err != nil || conn.Password != "p" {
			t.Errorf("%+v: %v", c, err)
		}
		if err := settings.Validate(cfg); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, err := New(Config{Connection: connection("${TEST_PENSTOCK_NONE}")}, "device", discard); err == nil || !strings.Contains(err.Error(), "no variable TEST_PENSTOCK_NONE") {
		t.Error(err)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	c := Config{Connection: Connection{Connection: postgres.Connection{DSN: "a", DSNFile: "b"}, Timeout: -1}, ChangeColumn: "x", DeletedColumn: "x", PollInterval: 1, ReloadInterval: 48 * time.Hour}
	got := fmt.Sprint(settings.Validate(c))
	for _, want := range []string{"dsn: must not be set beside dsn_file", "timeout: ", "query: must be set", "deleted_column: ", "poll_interval: ", "reload_interval: "} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if got := fmt.Sprint(settings.Validate(LookupConfig{Query: "SELECT 1"})); !strings.Contains(got, "dsn: must be set") || !strings.Contains(got, "query: must use $1") {
		t.Error(got)
	}
}

// Copies of rows that earlier versions wrote are found by this text.
func TestIdentity(t *testing.T) {
	t.Parallel()
	cfg := filled(Config{Connection: connection("postgres://u@db.example/fleet"), Query: "SELECT 1;\n"})
	src, err := New(cfg, "device", discard)
	if err != nil {
		t.Fatal(err)
	}
	if got := src.Identity(); got != "db.example:5432/fleet\x00SELECT 1;\n" {
		t.Errorf("%q", got)
	}
	if src.cfg.Query != "SELECT 1" {
		t.Errorf("the query is %q", src.cfg.Query)
	}
}

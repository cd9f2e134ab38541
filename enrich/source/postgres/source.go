package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/penstock-io/penstock/enrich/row"
)

const (
	// pingInterval is how often a connection that only listens is tried: one
	// whose other end has vanished says nothing by itself.
	pingInterval = 15 * time.Second

	// maxHeard is how many notifications may wait; more are taken for a
	// change of everything.
	maxHeard = 10_000

	// maxAsked is how many devices are asked for in one query.
	maxAsked = 500
)

// Source is a table of devices in PostgreSQL. It has one connection, and is
// used by one goroutine at a time: Connect, then Fetch and Follow in turn,
// then Close, after which it may connect again.
type Source struct {
	cfg    Config
	device string
	server resolved
	place  string

	identity string

	*session // nil while there is no connection
	marks    []mark
	whole    bool      // everything should be fetched again
	fetched  time.Time // when the last fetch began
	again    bool      // a second fetch is due, see Follow
}

// mark is a value of the change column that was the highest at a time.
type mark struct {
	at    time.Time // before the query that found it
	value string    // "" if there was none
}

// New returns the source, whose query has the device's name in the column
// device. It reads the files that cfg names, and does not connect.
func New(cfg Config, device string, log *slog.Logger) (*Source, error) {
	server, err := cfg.Connection.open(log)
	if err != nil {
		return nil, err
	}
	c, err := server.config()
	if err != nil {
		return nil, err
	}
	s := &Source{cfg: cfg, device: device, server: server, place: fmt.Sprintf("%s:%d/%s", c.Host, c.Port, c.Database)}
	s.identity = s.place + "\x00" + cfg.Query
	s.cfg.Query = trimQuery(cfg.Query)
	return s, nil
}

// Place says where the rows come from, without secrets.
func (s *Source) Place() string { return s.place }

// Identity tells these rows from those of other settings. It has the query as
// it is written: copies on disk are known by it.
func (s *Source) Identity() string { return s.identity }

// Connect connects, and listens if it should.
func (s *Source) Connect(ctx context.Context) error {
	conn, err := s.server.connect(ctx)
	if err != nil {
		return err
	}
	if s.cfg.Listen != "" {
		if err := conn.run(ctx, "LISTEN "+quote(s.cfg.Listen)); err != nil {
			conn.close()
			return err
		}
	}
	s.session, s.marks, s.whole, s.again = conn, nil, false, s.cfg.ChangeColumn != ""
	return nil
}

// Close closes the connection.
func (s *Source) Close() { s.close() }

// Confirm says that the rows of the last Fetch were understood. It makes no
// difference here: a query has no way to say that nothing has changed.
func (s *Source) Confirm() {}

func (s *Source) reader() *rowReader {
	return &rowReader{device: s.device, change: s.cfg.ChangeColumn, deleted: s.cfg.DeletedColumn}
}

// Fetch calls emit for every row of the query that is not marked as deleted.
// It returns emit's error as it is; the connection is of no use then.
func (s *Source) Fetch(ctx context.Context, emit func(row.Row) error) error {
	s.fetched, s.whole = time.Now(), false
	cfg := &s.cfg
	// The mark and the rows must be of one state of the database.
	if err := s.run(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"); err != nil {
		return err
	}
	if cfg.ChangeColumn != "" {
		m := mark{at: s.fetched}
		sql := fmt.Sprintf("SELECT max(q.%[1]s) AS %[1]s FROM (\n%[2]s\n) AS q", quote(cfg.ChangeColumn), cfg.Query)
		err := s.query(ctx, &rowReader{change: cfg.ChangeColumn}, sql, nil, func(_ row.Row, change string) error {
			m.value = change
			return nil
		})
		if err != nil {
			return err
		}
		s.marks = append(s.marks, m)
	}
	err := s.query(ctx, s.reader(), cfg.Query, nil, func(r row.Row, _ string) error {
		if r.Gone {
			return nil
		}
		return emit(r)
	})
	if err != nil {
		return err
	}
	return s.run(ctx, "COMMIT")
}

// Follow calls change with the rows that have changed, some of which may be
// as they were, until everything should be fetched again, for which it
// returns nil. It returns change's error as it is. The rows are lent.
func (s *Source) Follow(ctx context.Context, change func([]row.Row) error) error {
	cfg := &s.cfg
	reload := s.fetched.Add(cfg.ReloadInterval)
	if settled := s.fetched.Add(cfg.ChangeOverlap + cfg.PollInterval); s.again && settled.Before(reload) {
		// What was being committed during the first fetch may lie below its
		// mark, where no poll looks. One more fetch finds it; the marks that
		// there are then reach back far enough.
		reload = settled
	}
	s.again = false
	next := time.Now()
	poll := func() time.Time { return next.Add(cfg.PollInterval) }
	tried := next
	for {
		if len(s.heard) > 0 {
			if err := s.ask(ctx, change); err != nil {
				return err
			}
		}
		now := time.Now()
		if s.whole || !now.Before(reload) {
			return nil
		}
		until := reload
		if cfg.ChangeColumn != "" {
			if !now.Before(poll()) {
				next = now
				if err := s.poll(ctx, change); err != nil {
					return err
				}
				continue
			}
			until = earlier(until, poll())
		}
		if !now.Before(tried.Add(pingInterval)) {
			if err := s.ping(ctx); err != nil {
				return err
			}
			tried = now
		}
		if err := s.wait(ctx, earlier(until, tried.Add(pingInterval))); err != nil {
			return err
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func (s *Source) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if err := s.conn.Ping(ctx); err != nil {
		return fmt.Errorf("PostgreSQL does not answer: %w", err)
	}
	return nil
}

// wait returns at that time, or when a notification has come.
func (s *Source) wait(ctx context.Context, until time.Time) error {
	if len(s.heard) > 0 || s.whole {
		return nil
	}
	waiting, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	// It also finds out at once that the server has gone.
	if err := s.conn.WaitForNotification(waiting); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if waiting.Err() != nil && !s.conn.IsClosed() {
			return nil
		}
		return fmt.Errorf("the connection to PostgreSQL is lost: %w", err)
	}
	return nil
}

// hear is called by the connection while it reads.
func (s *session) hear(device string) {
	if len(s.heard) <= maxHeard {
		s.heard = append(s.heard, device)
	}
}

// ask reads the devices that notifications named.
func (s *Source) ask(ctx context.Context, change func([]row.Row) error) error {
	heard := s.heard
	s.heard = nil
	if len(heard) > maxHeard {
		s.whole = true
		return nil
	}
	missing := make(map[string]bool, len(heard))
	for _, device := range heard {
		if device == "" {
			s.whole = true
			return nil
		}
		missing[device] = true
	}
	devices := make([]string, 0, len(missing))
	for device := range missing {
		devices = append(devices, device)
	}
	for len(devices) > 0 {
		some := devices[:min(len(devices), maxAsked)]
		devices = devices[len(some):]
		list, err := json.Marshal(some)
		if err != nil {
			return err
		}
		sql := fmt.Sprintf("SELECT * FROM (\n%s\n) AS q WHERE q.%s::text = ANY(ARRAY(SELECT json_array_elements_text($1::json)))",
			s.cfg.Query, quote(s.device))
		var rows batch
		err = s.query(ctx, s.reader(), sql, [][]byte{list}, func(r row.Row, _ string) error {
			delete(missing, r.Device)
			rows.add(r)
			return nil
		})
		if err != nil {
			return err
		}
		for _, device := range some {
			if missing[device] {
				rows.add(row.Row{Device: device, Gone: true})
			}
		}
		if err := change(rows.list); err != nil {
			return err
		}
	}
	return nil
}

// poll reads the rows whose change column is not below the highest value of
// change_overlap ago.
func (s *Source) poll(ctx context.Context, change func([]row.Row) error) error {
	cfg := &s.cfg
	column := quote(cfg.ChangeColumn)
	last := s.marks[len(s.marks)-1]
	// A row that the last look did not see was committed after it. The value
	// was given to it at most change_overlap before, and so is not below what
	// was the highest then.
	bound := last.at.Add(-cfg.ChangeOverlap)
	for len(s.marks) > 1 && !s.marks[1].at.After(bound) {
		s.marks = s.marks[1:]
	}
	from := s.marks[0].value
	where, args := "IS NOT NULL", [][]byte(nil)
	if from != "" {
		where, args = ">= $1", [][]byte{[]byte(from)}
	}
	sql := fmt.Sprintf("SELECT * FROM (\n%s\n) AS q WHERE q.%s %s ORDER BY q.%s", cfg.Query, column, where, column)
	now := mark{time.Now(), last.value}
	var rows batch
	err := s.query(ctx, s.reader(), sql, args, func(r row.Row, value string) error {
		now.value = value
		rows.add(r)
		if len(rows.list) < maxAsked {
			return nil
		}
		err := change(rows.list)
		rows = batch{}
		return err
	})
	if err != nil {
		return err
	}
	if len(rows.list) > 0 {
		if err := change(rows.list); err != nil {
			return err
		}
	}
	s.marks = append(s.marks, now)
	return nil
}

// batch is rows that outlive their query's callback.
type batch struct{ list []row.Row }

func (b *batch) add(r row.Row) {
	r.Labels = append(r.Labels[:0:0], r.Labels...)
	b.list = append(b.list, r)
}

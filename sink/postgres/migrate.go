package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Migration is what Migrate found and did.
type Migration struct {
	// From and To are the versions of the schema before and after; 0 is none.
	From, To int
	// Hypertable says that the samples are a hypertable of TimescaleDB.
	Hypertable bool
}

// Migrate brings the tables to the version that this program writes, in one
// transaction. It may be repeated, also by several at once. Where TimescaleDB
// is there, it makes a hypertable of the samples, which locks them if there
// are any.
func Migrate(ctx context.Context, cfg Config) (m Migration, err error) {
	dsn, err := cfg.Open(nil)
	if err != nil {
		return m, err
	}
	pc, err := cfg.pool(dsn)
	if err != nil {
		return m, err
	}
	conn, err := pgx.ConnectConfig(ctx, pc.ConnConfig)
	if err != nil {
		return m, fmt.Errorf("cannot connect: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	pg, n := conn.PgConn(), cfg.names()
	run := func(script string) (string, error) { return one(pg.Exec(ctx, script)) }

	// The lock keeps two migrations apart until the transaction ends.
	if _, err := run(n.fill("BEGIN; SELECT pg_advisory_xact_lock(hashtextextended({lock}, 0))")); err != nil {
		return m, fmt.Errorf("cannot migrate: %w", err)
	}
	exists, err := run(fmt.Sprintf("SELECT to_regclass('%s') IS NOT NULL", n.meta))
	if err != nil {
		return m, fmt.Errorf("cannot look for the tables: %w", err)
	}
	if exists == "t" {
		text, err := run(n.fill("SELECT version FROM {meta}"))
		if err != nil {
			return m, fmt.Errorf("cannot read the version of the tables: %w", err)
		}
		if m.From, err = strconv.Atoi(text); err != nil {
			return m, fmt.Errorf("cannot read the version of the tables: %w", err)
		}
	}
	if m.From > len(migrations) {
		return m, fmt.Errorf("the tables have version %d, which is newer than this program's %d", m.From, len(migrations))
	}
	for m.To = m.From; m.To < len(migrations); m.To++ {
		if _, err := run(n.step(m.To)); err != nil {
			return m, fmt.Errorf("cannot bring the tables to version %d: %w", m.To+1, explain(err))
		}
	}
	if _, err := run(n.fill(hypertable)); err != nil {
		return m, fmt.Errorf("cannot make a hypertable of the samples: %w", err)
	}
	extension, err := run("SELECT count(*) > 0 FROM pg_extension WHERE extname = 'timescaledb'")
	if err != nil {
		return m, err
	}
	m.Hypertable = extension == "t"
	if _, err := run("COMMIT"); err != nil {
		return m, fmt.Errorf("cannot commit: %w", err)
	}
	return m, nil
}

// explain adds where in the script the server found fault.
func explain(err error) error {
	var pe *pgconn.PgError
	if errors.As(err, &pe) && pe.Hint != "" {
		return fmt.Errorf("%w (%s)", err, pe.Hint)
	}
	return err
}

// one reads all results of statements and returns the last value of the last
// one that has any.
func one(results *pgconn.MultiResultReader) (value string, err error) {
	for results.NextResult() {
		rows := results.ResultReader()
		for rows.NextRow() {
			if values := rows.Values(); len(values) > 0 {
				value = string(values[len(values)-1])
			}
		}
	}
	return value, results.Close()
}

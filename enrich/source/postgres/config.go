// Package postgres is a source of devices in PostgreSQL: all of them by a
// query, then what changes, by polling a column or by LISTEN; and single ones,
// for devices that are in no table.
//
// It emits rows and knows nothing of what they are for. Every value travels
// as text, as PostgreSQL writes it, so that a column may have any type that
// has a text.
//
// No change is missed, though some rows are read twice: a poll reaches back by
// change_overlap (Source.poll says why that is enough), and everything is
// fetched again every reload_interval, which finds what changes did not tell.
//
// Begin reading with source.go; session.go is one connection and how columns
// become rows.
package postgres

import (
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock-io/penstock/internal/postgres"
	"github.com/penstock-io/penstock/internal/settings"
)

// Connection says how the server is reached.
type Connection struct {
	postgres.Connection

	// Timeout bounds connecting, and each query.
	Timeout time.Duration `yaml:"timeout" default:"30s" min:"10ms" max:"1h" help:"Longest time for connecting, and for each query."`
}

// Config is a table of devices in PostgreSQL.
type Config struct {
	Connection

	// Query gives a row per device.
	Query string `yaml:"query" help:"SELECT that gives a row per device: the device's column, and a column per label. NULL is no label. A column named labels of type json or jsonb holds labels as an object."`

	// ChangeColumn is the name of a column of Query that grows with each
	// change of a row.
	ChangeColumn string `yaml:"change_column" help:"Column of the query, such as updated_at, that grows with every change of a row. Every poll_interval the rows whose value is new are read. It is not a label."`

	// DeletedColumn is the name of a column of Query.
	DeletedColumn string `yaml:"deleted_column" help:"Column of the query, such as deleted_at or deleted, that marks a deleted device: anything but NULL and false. It is not a label."`

	PollInterval time.Duration `yaml:"poll_interval" default:"10s" min:"10ms" max:"24h" help:"Time between two looks for changed rows by change_column."`

	// ChangeOverlap is how late a change may be committed.
	ChangeOverlap time.Duration `yaml:"change_overlap" default:"1m" min:"10ms" max:"24h" help:"How long a transaction that changes devices may take. Rows are read again for that long, so that one that was committed late is not missed."`

	// Listen is the name of a channel.
	Listen string `yaml:"listen" help:"Channel to LISTEN on. The payload of a notification is the device that has changed, or nothing for all of them."`

	ReloadInterval time.Duration `yaml:"reload_interval" default:"10m" min:"10ms" max:"24h" help:"Time between two reads of the whole query, which find what changes did not tell: deleted rows, above all."`
}

// DefaultConfig returns the settings that need nothing but a DSN and a query.
func DefaultConfig() Config { return settings.Default[Config]() }

// Check notes what no tag says. It does not read DSNFile and does not connect.
func (c Config) Check(f *settings.Faults) {
	if strings.TrimSpace(c.Query) == "" {
		f.Add("query", "must be set")
	}
	if c.DeletedColumn != "" && c.DeletedColumn == c.ChangeColumn {
		f.Add("deleted_column", "must not be change_column")
	}
}

// trimQuery lets a query stand in parentheses.
func trimQuery(query string) string { return strings.TrimRight(query, "; \t\r\n") }

// resolved is a Connection whose secrets have been read.
type resolved struct {
	dsn     *postgres.DSN
	timeout time.Duration
}

func (c Connection) open(log *slog.Logger) (resolved, error) {
	dsn, err := c.Connection.Open(log)
	return resolved{dsn, c.Timeout}, err
}

// config returns the settings of a new connection.
func (r resolved) config() (*pgconn.Config, error) {
	pool, err := r.dsn.Config()
	if err != nil {
		return nil, err
	}
	cfg := &pool.ConnConfig.Config
	cfg.ConnectTimeout = r.timeout
	// A value's text must mean the same in every session.
	cfg.RuntimeParams["DateStyle"] = "ISO"
	cfg.RuntimeParams["TimeZone"] = "UTC"
	return cfg, nil
}

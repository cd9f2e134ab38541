// Package postgres reads devices and their labels from PostgreSQL: all of
// them by a query, then what changes, by polling a column or by LISTEN; and
// single ones, for devices that are in no table.
//
// It knows how rows are read and nothing of what they are for. Every value
// travels as text, as PostgreSQL writes it, so that a column may have any
// type that has a text.
package postgres

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Connection says how the server is reached.
type Connection struct {
	// DSN is a URL or keywords, as libpq takes them. What it leaves out comes
	// from the PG... variables of the environment, or ~/.pgpass.
	DSN string `yaml:"dsn" secret:"true" help:"Where the database is: postgres://user:password@host/db?sslmode=verify-full, or keywords as for psql. ${NAME} is the environment variable NAME. What is left out comes from PGHOST, PGPASSWORD and so on, or ~/.pgpass."`

	// DSNFile holds the DSN.
	DSNFile string `yaml:"dsn_file" help:"File that holds the dsn, instead of dsn. It is read anew for every connection."`

	// Timeout bounds connecting, and each query.
	Timeout time.Duration `yaml:"timeout" default:"30s" help:"Longest time for connecting, and for each query."`
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

	PollInterval time.Duration `yaml:"poll_interval" default:"10s" help:"Time between two looks for changed rows by change_column."`

	// ChangeOverlap is how late a change may be committed.
	ChangeOverlap time.Duration `yaml:"change_overlap" default:"1m" help:"How long a transaction that changes devices may take. Rows are read again for that long, so that one that was committed late is not missed."`

	// Listen is the name of a channel.
	Listen string `yaml:"listen" help:"Channel to LISTEN on. The payload of a notification is the device that has changed, or nothing for all of them."`

	ReloadInterval time.Duration `yaml:"reload_interval" default:"10m" help:"Time between two reads of the whole query, which find what changes did not tell: deleted rows, above all."`
}

// Faults lists what is wrong with the settings, each as "key: problem".
func (c Connection) Faults() []string {
	var faults []string
	switch {
	case c.DSN == "" && c.DSNFile == "":
		faults = append(faults, "dsn: must be set, or dsn_file")
	case c.DSN != "" && c.DSNFile != "":
		faults = append(faults, "dsn: must not be set beside dsn_file")
	case c.DSN != "" && !isVariable(c.DSN):
		if _, err := parseDSN(c.DSN); err != nil {
			faults = append(faults, "dsn: "+err.Error())
		}
	}
	if c.Timeout < 0 || c.Timeout > time.Hour {
		faults = append(faults, fmt.Sprintf("timeout: must be between 0 (the default) and 1h, got %s", c.Timeout))
	}
	return faults
}

// Faults lists what is wrong with the settings, each as "key: problem". Zero
// stands for the default everywhere.
func (c Config) Faults() []string {
	faults := c.Connection.Faults()
	if strings.TrimSpace(c.Query) == "" {
		faults = append(faults, "query: must be set")
	}
	if c.DeletedColumn != "" && c.DeletedColumn == c.ChangeColumn {
		faults = append(faults, "deleted_column: must not be change_column")
	}
	for _, d := range []struct {
		key   string
		value time.Duration
		least time.Duration
	}{
		{"poll_interval", c.PollInterval, 10 * time.Millisecond},
		{"change_overlap", c.ChangeOverlap, 0},
		{"reload_interval", c.ReloadInterval, 10 * time.Millisecond},
	} {
		if d.value != 0 && (d.value < d.least || d.value > 24*time.Hour) {
			faults = append(faults, fmt.Sprintf("%s: must be between %s and 24h, got %s", d.key, d.least, d.value))
		}
	}
	return faults
}

// DefaultConfig returns the settings that are not a table's own.
func DefaultConfig() Config {
	return Config{
		Connection:     Connection{Timeout: 30 * time.Second},
		PollInterval:   10 * time.Second,
		ChangeOverlap:  time.Minute,
		ReloadInterval: 10 * time.Minute,
	}
}

func (c Config) withDefaults() Config {
	d := DefaultConfig()
	orElse(&c.Timeout, d.Timeout)
	orElse(&c.PollInterval, d.PollInterval)
	orElse(&c.ChangeOverlap, d.ChangeOverlap)
	orElse(&c.ReloadInterval, d.ReloadInterval)
	c.Query = trimQuery(c.Query)
	return c
}

func orElse(d *time.Duration, otherwise time.Duration) {
	if *d == 0 {
		*d = otherwise
	}
}

// trimQuery lets a query stand in parentheses.
func trimQuery(query string) string { return strings.TrimRight(query, "; \t\r\n") }

var variable = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$`)

func isVariable(s string) bool { return variable.MatchString(s) }

// config resolves the settings. Its errors do not repeat the DSN.
func (c Connection) config() (*pgconn.Config, error) {
	dsn := c.DSN
	if c.DSNFile != "" {
		text, err := os.ReadFile(c.DSNFile)
		if err != nil {
			return nil, fmt.Errorf("dsn_file: %w", err)
		}
		dsn = strings.TrimSpace(string(text))
	} else if m := variable.FindStringSubmatch(dsn); m != nil {
		if dsn = os.Getenv(m[1]); dsn == "" {
			return nil, fmt.Errorf("dsn: the environment has no variable %s", m[1])
		}
	}
	cfg, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	cfg.ConnectTimeout = c.Timeout
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "penstock"
	}
	// A value's text must mean the same in every session.
	cfg.RuntimeParams["DateStyle"] = "ISO"
	cfg.RuntimeParams["TimeZone"] = "UTC"
	return cfg, nil
}

// parseDSN hides what pgconn says of a DSN, because it may quote a part of
// the password.
func parseDSN(dsn string) (*pgconn.Config, error) {
	cfg, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("cannot be understood (it is a secret, so it is not shown); it should look like postgres://user:password@host:5432/database, with %XX for special characters in the password, or like host=... user=... dbname=...; files that it names, such as sslrootcert, must exist")
	}
	return cfg, nil
}

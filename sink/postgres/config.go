package postgres

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penstock-io/penstock/internal/postgres"
)

// Config holds the settings of a PostgreSQL sink.
type Config struct {
	postgres.Connection

	// Schema and Table name what penstock sink migrate creates.
	Schema string `yaml:"schema" default:"public" help:"Schema of the tables. It must exist."`
	Table  string `yaml:"table" default:"telemetry" help:"Name of the view to query, and the beginning of the names of the tables behind it."`

	// Connections bounds the connections to the server.
	Connections int `yaml:"connections" default:"4" help:"Most connections to the server. Each running write takes one."`

	// Timeout bounds one write. A server that has not heard of the client for
	// so long gives its transaction up, too.
	Timeout time.Duration `yaml:"timeout" default:"60s" help:"Longest time that a write may take. The server gives an abandoned one up after it, too."`

	// SeriesCache is the number of series whose numbers are kept in memory,
	// about 50 bytes each. A series that is not in it is looked up. Those that
	// are in use stay if they are no more than half of it.
	SeriesCache int `yaml:"series_cache" default:"1000000" help:"Series whose numbers are kept in memory, at about 50 bytes each. Twice those in use is right: others are looked up in the database by each write."`
}

// DefaultConfig returns the settings for what the user leaves out. It has no
// DSN, so it is not valid.
func DefaultConfig() Config {
	return Config{
		Schema:      "public",
		Table:       "telemetry",
		Connections: 4,
		Timeout:     time.Minute,
		SeriesCache: 1_000_000,
	}
}

// Names are quoted wherever they are used, but those that need it are a
// nuisance to whoever writes queries. PostgreSQL cuts names at 63 bytes; the
// longest suffix takes 14.
var nameForm = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,47}$`)

// Validate returns all faults of the settings, joined. It does not read
// DSNFile and does not connect.
func (c Config) Validate() error {
	errs := []error{c.Connection.Validate()}
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !nameForm.MatchString(c.Schema) {
		fault("schema: must match %s, got %q", nameForm, c.Schema)
	}
	if !nameForm.MatchString(c.Table) {
		fault("table: must match %s, got %q", nameForm, c.Table)
	}
	if c.Connections < 1 || c.Connections > 100 {
		fault("connections: must be between 1 and 100, got %d", c.Connections)
	}
	if c.Timeout < time.Second || c.Timeout > time.Hour {
		fault("timeout: must be between 1s and 1h, got %s", c.Timeout)
	}
	if c.SeriesCache < 1000 || c.SeriesCache > 100_000_000 {
		fault("series_cache: must be between 1000 and 100000000, got %d", c.SeriesCache)
	}
	return errors.Join(errs...)
}

// pool returns the settings of the pool for a DSN as it is now.
func (c Config) pool(dsn *postgres.DSN) (*pgxpool.Config, error) {
	pc, err := dsn.Config()
	if err != nil {
		return nil, err
	}
	pc.MaxConns = int32(c.Connections)
	pc.MinConns, pc.MinIdleConns = 0, 0
	if pc.ConnConfig.ConnectTimeout == 0 {
		pc.ConnConfig.ConnectTimeout = 10 * time.Second
	}
	return pc, nil
}

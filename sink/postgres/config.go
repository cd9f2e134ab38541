package postgres

import (
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penstock-io/penstock/internal/postgres"
	"github.com/penstock-io/penstock/internal/settings"
)

// Config holds the settings of a PostgreSQL sink.
type Config struct {
	postgres.Connection

	// Schema and Table name what penstock sink migrate creates. Names are
	// quoted wherever they are used, but those that need it are a nuisance to
	// whoever writes queries. PostgreSQL cuts names at 63 bytes; the longest
	// suffix takes 14.
	Schema string `yaml:"schema" default:"public" match:"[a-z_][a-z0-9_]{0,47}" help:"Schema of the tables. It must exist."`
	Table  string `yaml:"table" default:"telemetry" match:"[a-z_][a-z0-9_]{0,47}" help:"Name of the view to query, and the beginning of the names of the tables behind it."`

	// Connections bounds the connections to the server.
	Connections int `yaml:"connections" default:"4" min:"1" max:"100" help:"Most connections to the server. Each running write takes one."`

	// Timeout bounds one write. A server that has not heard of the client for
	// so long gives its transaction up, too.
	Timeout time.Duration `yaml:"timeout" default:"60s" min:"1s" max:"1h" help:"Longest time that a write may take. The server gives an abandoned one up after it, too."`

	// SeriesCache is the number of series whose numbers are kept in memory,
	// about 50 bytes each. A series that is not in it is looked up. Those that
	// are in use stay if they are no more than half of it.
	SeriesCache int `yaml:"series_cache" default:"1000000" min:"1000" max:"100000000" help:"Series whose numbers are kept in memory, at about 50 bytes each. Twice those in use is right: others are looked up in the database by each write."`
}

// DefaultConfig returns the settings for what the user leaves out. It has no
// DSN, so it is not valid.
func DefaultConfig() Config { return settings.Default[Config]() }

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

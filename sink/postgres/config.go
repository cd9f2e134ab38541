package postgres

import (
	"errors"
	"io/fs"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penstock-io/penstock/internal/settings"
	"github.com/penstock-io/penstock/sink/remote"
)

// Config holds the settings of a PostgreSQL sink.
type Config struct {
	// DSN is the connection string: postgres://user:password@host/database or
	// key=value pairs, with everything that libpq knows of TLS (sslmode,
	// sslrootcert, sslcert, sslkey). PGHOST and its like, ~/.pgpass and
	// service files are read too. It is never printed.
	DSN string `yaml:"dsn" secret:"true" help:"Where the database is: postgres://user:password@host/db?sslmode=verify-full, or keywords as for psql. May contain ${VARIABLE}, which is taken from the environment. What is left out comes from PGHOST, PGPASSWORD and so on, or ~/.pgpass."`

	// DSNFile is a file that holds the DSN.
	DSNFile string `yaml:"dsn_file" help:"File that holds the dsn, instead of dsn. It is read again for each new connection."`

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

// Check notes what no tag says. It does not read DSNFile and does not connect.
func (c Config) Check(f *settings.Faults) {
	switch {
	case c.DSN == "" && c.DSNFile == "":
		f.Add("dsn", "must be set (or dsn_file), such as postgres://penstock@localhost/telemetry")
	case c.DSN != "" && c.DSNFile != "":
		f.Add("dsn", "must not be set beside dsn_file")
	case c.DSN != "":
		if _, err := c.poolConfig(); err != nil {
			f.AddError("dsn", err)
		}
	}
}

// parseFault says why pgx cannot read a connection string. pgx hides only
// those passwords that it recognises, and what a malformed string is taken
// apart into may be a piece of one, so its words are used only where there is
// no password.
func parseFault(dsn string, err error) error {
	var file *fs.PathError
	if errors.As(err, &file) {
		return file
	}
	if !strings.Contains(dsn, "@") && !strings.Contains(dsn, "password") {
		return err
	}
	return errors.New("is not a connection string that can be read; in the form postgres://user:password@host/database special characters of the password must be percent-encoded")
}

// poolConfig returns what pgx makes of the connection string.
func (c Config) poolConfig() (*pgxpool.Config, error) {
	secret, err := remote.NewSecret("dsn", c.DSN, c.DSNFile)
	if err != nil {
		return nil, err
	}
	dsn, err := secret.Get()
	if err != nil {
		return nil, err
	}
	pc, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, settings.Fault{Key: "dsn", Detail: parseFault(dsn, err).Error()}
	}
	pc.MaxConns = int32(c.Connections)
	pc.MinConns, pc.MinIdleConns = 0, 0
	if pc.ConnConfig.ConnectTimeout == 0 {
		pc.ConnConfig.ConnectTimeout = 10 * time.Second
	}
	if pc.ConnConfig.RuntimeParams["application_name"] == "" {
		pc.ConnConfig.RuntimeParams["application_name"] = "penstock"
	}
	return pc, nil
}

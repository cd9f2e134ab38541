// Package postgres holds the settings of a connection to PostgreSQL. The sink
// and the source of devices embed them in theirs, so they have the same keys
// and mean the same. TLS is a matter of the DSN, as for libpq: sslmode,
// sslrootcert, sslcert, sslkey.
package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penstock-io/penstock/internal/secret"
	"github.com/penstock-io/penstock/internal/settings"
)

// Connection says where the server is.
type Connection struct {
	// DSN is a URL or keywords, as libpq takes them, with everything that it
	// knows of TLS. It is never printed.
	DSN string `yaml:"dsn" secret:"true" help:"Where the database is: postgres://user:password@host/db?sslmode=verify-full, or keywords as for psql. May contain ${VARIABLE}, which is taken from the environment. What is left out comes from PGHOST, PGPASSWORD and so on, or ~/.pgpass."`

	// DSNFile is a file that holds the DSN.
	DSNFile string `yaml:"dsn_file" help:"File that holds the dsn, instead of dsn. It is read again for each new connection."`
}

// Check notes what no tag says. It does not read DSNFile and does not connect.
func (c Connection) Check(f *settings.Faults) {
	switch {
	case c.DSN == "" && c.DSNFile == "":
		f.Add("dsn", "must be set (or dsn_file), such as postgres://penstock@localhost/telemetry")
	case c.DSN != "" && c.DSNFile != "":
		f.Add("dsn", "must not be set beside dsn_file")
	case c.DSN != "":
		dsn, err := secret.Expand(c.DSN)
		if err == nil {
			_, err = parse(dsn)
		}
		if err != nil {
			f.Add("dsn", "%s", err)
		}
	}
}

// DSN is a connection's settings, resolved.
type DSN struct{ text *secret.Value }

// Open reads the file or the variables that the settings name. It does not
// connect.
func (c Connection) Open(log *slog.Logger) (*DSN, error) {
	text, err := secret.New("dsn", c.DSN, c.DSNFile, func(dsn string) error {
		_, err := parse(dsn)
		return err
	}, log)
	if err != nil {
		return nil, err
	}
	return &DSN{text}, nil
}

// Config returns the settings as they are now, for a pool, or its
// ConnConfig.Config for a connection of pgconn. It is the caller's own.
func (d *DSN) Config() (*pgxpool.Config, error) {
	cfg, err := parse(d.text.Get())
	if err != nil {
		return nil, fmt.Errorf("dsn: %w", err)
	}
	if cfg.ConnConfig.RuntimeParams["application_name"] == "" {
		cfg.ConnConfig.RuntimeParams["application_name"] = "penstock"
	}
	return cfg, nil
}

// parse hides what pgx says of a DSN that may hold a password. pgx hides only
// those passwords that it recognises, and what a malformed string is taken
// apart into may be a piece of one.
func parse(dsn string) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err == nil {
		return cfg, nil
	}
	var file *fs.PathError
	if errors.As(err, &file) {
		return nil, file
	}
	if !strings.Contains(dsn, "@") && !strings.Contains(dsn, "password") {
		return nil, err
	}
	return nil, errors.New("cannot be understood (it is a secret, so it is not shown); it should look like postgres://user:password@host:5432/database, with %XX for special characters in the password, or like host=localhost user=penstock dbname=telemetry")
}

package postgres

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/postgres"

	"github.com/penstock-io/penstock/internal/settings"
)

func TestConfigNamesEveryFault(t *testing.T) {
	t.Parallel()
	err := settings.Validate(Config{Schema: "a b", Table: "A", Connection: postgres.Connection{DSN: "postgres://u:geheim@h:x/d"}})
	for _, key := range []string{"dsn", "schema", "table", "connections", "timeout", "series_cache"} {
		if err == nil || !strings.Contains(err.Error(), key+": ") {
			t.Errorf("no fault names %s: %v", key, err)
		}
	}
	cfg := DefaultConfig()
	if err := settings.Validate(cfg); err == nil || !strings.Contains(err.Error(), "dsn: must be set") {
		t.Errorf("without url: %v", err)
	}
	cfg.DSN = "host=/tmp user=u"
	if err := settings.Validate(cfg); err != nil {
		t.Errorf("the defaults with a url: %v", err)
	}
	cfg.DSN = "postgres://u@h/d?sslmode=verify-full&sslrootcert=/nowhere/ca.pem"
	if err := settings.Validate(cfg); err == nil || !strings.Contains(err.Error(), "/nowhere/ca.pem") {
		t.Errorf("a certificate that is missing: %v", err)
	}
}

// TestPasswordsAreNotPrinted gives malformed connection strings.
func TestPasswordsAreNotPrinted(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"postgres://u:geheim@h:x/d", "postgres://u:geh/eim@h/d", "postgres://u:geheim%zz@h/d", "postgres://u:geheim@h/d?sslmode=no",
		"password=geheim host", "host=h password='geheim", "postgres://u:ge heim@h/d", "postgres://h/d?password=geheim&sslmode=no", "u:geheim@h",
	} {
		cfg := DefaultConfig()
		cfg.DSN = url
		if err := settings.Validate(cfg); err != nil && (strings.Contains(err.Error(), "geh") || strings.Contains(err.Error(), "heim") || strings.Contains(err.Error(), "eim@")) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestPasswordFromEnvironment(t *testing.T) {
	cfg := DefaultConfig()
	cfg.DSN = "host=db user=u password=${PENSTOCK_TEST_PASSWORD}"
	if err := settings.Validate(cfg); err == nil || !strings.Contains(err.Error(), "PENSTOCK_TEST_PASSWORD") {
		t.Errorf("without the variable: %v", err)
	}
	t.Setenv("PENSTOCK_TEST_PASSWORD", "geheim")
	dsn, err := cfg.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	pc, err := cfg.pool(dsn)
	if err != nil || pc.ConnConfig.Password != "geheim" {
		t.Errorf("with it: %v", err)
	}
}

// TestPasswordFromFile: a wrong password is shown and tried again, and what
// the file says holds for the next connection.
func TestPasswordFromFile(t *testing.T) {
	t.Parallel()
	cfg, db := migrated(t)
	// pg_hba.conf asks this user for a password.
	psql(t, db, `DROP ROLE IF EXISTS secured; CREATE ROLE secured LOGIN SUPERUSER PASSWORD 'richtig'`)
	file := filepath.Join(t.TempDir(), "url")
	put := func(password string) {
		url := strings.Replace(cfg.DSN, "postgres@", "secured:"+password+"@", 1)
		if err := os.WriteFile(file, []byte(url+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("falsch")
	fromFile := cfg
	fromFile.DSN, fromFile.DSNFile = "", file
	w := open(t, fromFile)
	batch := []*event.Batch{reading("d", base, 1)}
	err := w.Write(t.Context(), batch)
	notRefused(t, err, "password authentication failed")
	if strings.Contains(err.Error(), "falsch") {
		t.Errorf("the password is in %q", err)
	}
	put("richtig")
	write(t, w, batch...)
}

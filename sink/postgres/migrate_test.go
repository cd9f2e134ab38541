package postgres

import (
	"strings"
	"sync"
	"testing"

	"github.com/penstock-io/penstock/ingest/event"
)

func TestMigrate(t *testing.T) {
	t.Parallel()
	cfg, db := database(t)
	w := open(t, cfg)
	batch := []*event.Batch{reading("d", base, 1)}
	notRefused(t, w.Write(t.Context(), batch), "run: penstock sink migrate pg")
	notRefused(t, w.Check(t.Context()), "run: penstock sink migrate pg")
	if got := psql(t, db, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"); got != "0" {
		t.Errorf("a writer has created %s tables", got)
	}

	// Several at once, and again: one does it, and the others find it done.
	var wg sync.WaitGroup
	var mu sync.Mutex
	did := 0
	for range 4 {
		wg.Go(func() {
			m, err := Migrate(t.Context(), cfg)
			if err != nil || m.To != len(migrations) || m.Hypertable {
				t.Errorf("%+v, %v", m, err)
			}
			mu.Lock()
			defer mu.Unlock()
			if m.From == 0 {
				did++
			}
		})
	}
	wg.Wait()
	if did != 1 {
		t.Errorf("%d migrations of 4 at once did it", did)
	}
	if err := w.Check(t.Context()); err != nil {
		t.Error(err)
	}
	write(t, w, batch...)
	if m, err := Migrate(t.Context(), cfg); err != nil || m.From != len(migrations) {
		t.Errorf("again: %+v, %v", m, err)
	}
	if got := psql(t, db, "SELECT count(*) FROM telemetry"); got != "1" {
		t.Errorf("%s samples after a second migration", got)
	}
}

func TestOtherVersions(t *testing.T) {
	t.Parallel()
	cfg, db := migrated(t)
	w := open(t, cfg)
	batch := []*event.Batch{reading("d", base, 1)}
	psql(t, db, "UPDATE telemetry_meta SET version = 99")
	notRefused(t, w.Write(t.Context(), batch), "newer")
	if _, err := Migrate(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("migration of newer tables: %v", err)
	}
	psql(t, db, "UPDATE telemetry_meta SET version = 0")
	notRefused(t, w.Write(t.Context(), batch), "run: penstock sink migrate pg")
}

// TestScript: what --print shows does the same as the migration, in another
// schema and under another name.
func TestScript(t *testing.T) {
	t.Parallel()
	cfg, db := database(t)
	cfg.Schema, cfg.Table = "fleet", "readings"
	psql(t, db, "CREATE SCHEMA fleet;"+Script(cfg))
	write(t, open(t, cfg), reading("d", base, 1))
	if got := psql(t, db, "SELECT device, name, value, labels FROM fleet.readings"); got != "d|v|1|{}" {
		t.Errorf("stored %q", got)
	}
	if m, err := Migrate(t.Context(), cfg); err != nil || m.From != len(migrations) {
		t.Errorf("after the script: %+v, %v", m, err)
	}
}

func TestSchemaIsMissing(t *testing.T) {
	t.Parallel()
	cfg, _ := database(t)
	cfg.Schema = "nowhere"
	notRefused(t, open(t, cfg).Write(t.Context(), []*event.Batch{reading("d", base, 1)}), "run: penstock sink migrate pg")
	if _, err := Migrate(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), `schema "nowhere" does not exist`) {
		t.Errorf("migration: %v", err)
	}
}

// TestHypertable has an extension that looks like TimescaleDB, whose function
// notes how it is called: the real one is not in Debian.
func TestHypertable(t *testing.T) {
	t.Parallel()
	cfg, db := database(t)
	psql(t, db, `SET allow_system_table_mods = on;
		CREATE SCHEMA ts;
		INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
			SELECT 99999, 'timescaledb', 10, oid, false, '2.14' FROM pg_namespace WHERE nspname = 'ts';
		CREATE TABLE calls (what text);
		CREATE FUNCTION ts.create_hypertable(relation regclass, time_column_name name, partitioning_column name DEFAULT NULL, number_partitions integer DEFAULT NULL,
			associated_schema_name name DEFAULT NULL, associated_table_prefix name DEFAULT NULL, chunk_time_interval anyelement DEFAULT NULL::bigint,
			create_default_indexes boolean DEFAULT true, if_not_exists boolean DEFAULT false, partitioning_func regproc DEFAULT NULL, migrate_data boolean DEFAULT false)
			RETURNS void LANGUAGE plpgsql AS $$ BEGIN
			INSERT INTO calls VALUES (concat_ws(' ', relation, time_column_name, chunk_time_interval, create_default_indexes, if_not_exists, migrate_data)); END $$`)
	m, err := Migrate(t.Context(), cfg)
	if err != nil || !m.Hypertable {
		t.Fatalf("%+v, %v", m, err)
	}
	if got, want := psql(t, db, "SELECT what FROM calls"), "telemetry_samples time 1 day f t t"; got != want {
		t.Errorf("create_hypertable was called with %q, want %q", got, want)
	}
}

// TestFewRights: a user who may only read and insert is enough.
func TestFewRights(t *testing.T) {
	t.Parallel()
	cfg, db := migrated(t)
	psql(t, db, `CREATE ROLE writer_`+db+` LOGIN`)
	cfg.DSN = strings.Replace(cfg.DSN, "postgres@", "writer_"+db+"@", 1)
	w := open(t, cfg)
	notRefused(t, w.Check(t.Context()), "docs/postgres.md")
	psql(t, db, `GRANT SELECT, INSERT ON telemetry_series TO writer_`+db+`;
		GRANT SELECT, INSERT, UPDATE (value) ON telemetry_samples TO writer_`+db+`;
		GRANT SELECT ON telemetry_meta TO writer_`+db)
	if err := w.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, w, reading("d", base, 1))
	write(t, w, reading("d", base, 2))
	if got := psql(t, db, "SELECT value FROM telemetry"); got != "2" {
		t.Errorf("stored %q", got)
	}
}

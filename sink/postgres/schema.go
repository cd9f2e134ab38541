package postgres

import (
	"fmt"
	"strings"
)

// names are the quoted names of what lies in the database.
type names struct {
	schema                        string
	view, series, samples, meta   string
	brin, byDevice, byName, label string
	touched                       string
	lock                          string // a literal that is the migration's lock
}

func (c Config) names() names {
	in := func(suffix string) string { return fmt.Sprintf(`"%s"."%s%s"`, c.Schema, c.Table, suffix) }
	bare := func(suffix string) string { return fmt.Sprintf(`"%s%s"`, c.Table, suffix) }
	return names{
		schema: fmt.Sprintf(`"%s"`, c.Schema),
		view:   in(""), series: in("_series"), samples: in("_samples"), meta: in("_meta"),
		brin: bare("_samples_time"), byDevice: bare("_series_device"), byName: bare("_series_name"), label: bare("_series_labels"),
		touched: in("_touched"),
		lock:    fmt.Sprintf(`'penstock %s.%s'`, c.Schema, c.Table),
	}
}

// fill puts the names into a script.
func (n names) fill(script string) string {
	return strings.NewReplacer(
		"{schema}", n.schema, "{view}", n.view, "{series}", n.series, "{samples}", n.samples, "{meta}", n.meta,
		"{brin}", n.brin, "{by_device}", n.byDevice, "{by_name}", n.byName, "{by_label}", n.label,
		"{touched}", n.touched, "{lock}", n.lock,
		"{version}", fmt.Sprint(len(migrations)),
	).Replace(script)
}

// migrations bring a schema from the version that is their index to the next.
// One that has been released does not change any more.
var migrations = []string{`
CREATE TABLE {series} (
  id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  key    uuid   NOT NULL UNIQUE,
  device text   NOT NULL,
  name   text   NOT NULL,
  labels jsonb  NOT NULL
);
CREATE INDEX {by_device} ON {series} (device, name);
CREATE INDEX {by_name}   ON {series} (name);
CREATE INDEX {by_label}  ON {series} USING gin (labels jsonb_path_ops);
COMMENT ON TABLE {series} IS 'Penstock: one row per series. Delete a series'' samples with it.';

CREATE TABLE {samples} (
  series_id bigint           NOT NULL,
  time      timestamptz      NOT NULL,
  value     double precision NOT NULL,
  PRIMARY KEY (series_id, time)
);
CREATE INDEX {brin} ON {samples} USING brin (time);
COMMENT ON TABLE {samples} IS 'Penstock: one row per sample.';

CREATE TABLE {meta} (
  one     boolean PRIMARY KEY DEFAULT true CHECK (one),
  version integer NOT NULL,
  epoch   bigint  NOT NULL DEFAULT 0
);
INSERT INTO {meta} (version) VALUES (0);
COMMENT ON TABLE {meta} IS 'Penstock: version of the schema, and how often series were changed by others.';

-- Penstock keeps numbers of series in memory. Whoever changes or deletes
-- series waits for the writes that run, and later ones ask again.
CREATE FUNCTION {touched}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  LOCK TABLE {meta} IN ACCESS EXCLUSIVE MODE;
  UPDATE {meta} SET epoch = epoch + 1;
  RETURN NULL;
END $$;
CREATE TRIGGER touched AFTER UPDATE OR DELETE OR TRUNCATE ON {series}
  FOR EACH STATEMENT EXECUTE FUNCTION {touched}();

CREATE VIEW {view} AS
  SELECT s.time, r.device, r.name, s.value, r.labels
  FROM {samples} s JOIN {series} r ON r.id = s.series_id;
COMMENT ON VIEW {view} IS 'Penstock: one row per sample, with its device, name and labels.';
`}

// hypertable runs after the migrations, each time: the extension may have come
// later than the tables.
const hypertable = `
-- A hypertable where TimescaleDB's extension is there.
DO $$
DECLARE ext text;
BEGIN
  SELECT quote_ident(n.nspname) INTO ext
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'timescaledb';
  IF FOUND THEN
    EXECUTE format('SELECT %s.create_hypertable($1::regclass, $2::name, chunk_time_interval => $3::interval, create_default_indexes => false, if_not_exists => true, migrate_data => true)', ext)
      USING '{samples}'::regclass, 'time'::name, '1 day'::interval;
  END IF;
END $$;
`

// step is the script of the migration from version v.
func (n names) step(v int) string {
	return n.fill(migrations[v]) + n.fill(fmt.Sprintf("UPDATE {meta} SET version = %d;\n", v+1))
}

// Script returns what Migrate runs on a database that has nothing yet, for
// psql, or for whoever wants to read it first.
func Script(cfg Config) string {
	n := cfg.names()
	var b strings.Builder
	fmt.Fprintf(&b, "-- Penstock's tables in PostgreSQL, version %d.\nBEGIN;\n", len(migrations))
	for v := range migrations {
		b.WriteString(n.step(v))
	}
	b.WriteString(n.fill(hypertable))
	b.WriteString("COMMIT;\n")
	return b.String()
}

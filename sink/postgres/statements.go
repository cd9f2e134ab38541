package postgres

import "fmt"

// statements are the SQL of a writer. Most of it goes by the simple protocol,
// several statements at once: that saves round trips, and a pooler that deals
// out transactions, such as PgBouncer, does not mind.
type statements struct {
	begin, copy, finish        string
	find, create, timeoutsOnly string
}

func newStatements(c Config) statements {
	n := c.names()
	timeouts := fmt.Sprintf(`SET LOCAL statement_timeout = %d;
SET LOCAL idle_in_transaction_session_timeout = %d;
SET LOCAL client_min_messages = warning;
`, milliseconds(c.Timeout), milliseconds(c.Timeout))
	return statements{
		timeoutsOnly: "BEGIN;\n" + timeouts,
		// A commit that is not durable would be a promise that is not kept,
		// so where somebody has switched synchronous_commit off, it is on
		// here. SELECT from meta holds a lock on it until the end, for which
		// its trigger waits.
		begin: "BEGIN;\n" + timeouts + n.fill(`SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off';
CREATE TEMPORARY TABLE IF NOT EXISTS penstock_staging_1 (series_id bigint NOT NULL, time timestamptz NOT NULL, value double precision NOT NULL) ON COMMIT DELETE ROWS;
SELECT version || ' ' || extract(epoch FROM pg_postmaster_start_time()) || '/' || '{series}'::regclass::oid || '/' || epoch FROM {meta}`),
		copy: `COPY pg_temp.penstock_staging_1 (series_id, time, value) FROM STDIN (FORMAT binary)`,
		finish: n.fill(`INSERT INTO {samples} AS s (series_id, time, value)
  SELECT series_id, time, value FROM pg_temp.penstock_staging_1
  ON CONFLICT (series_id, time) DO UPDATE SET value = excluded.value WHERE s.value < excluded.value;
COMMIT`),
		// A join, because = ANY($1) would be computed for each row of series
		// wherever the planner prefers to read the whole table.
		find: n.fill(`SELECT r.key::text, r.id FROM unnest($1::text[]) AS u(k) JOIN {series} AS r ON r.key = u.k::uuid`),
		create: n.fill(`INSERT INTO {series} (key, device, name, labels)
  SELECT k::uuid, d, n, l::jsonb FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS u(k, d, n, l) ORDER BY k
  ON CONFLICT (key) DO NOTHING RETURNING key::text, id`),
	}
}

package postgres

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestQueriesOfTheDocs runs every query of docs/postgres.md, as it stands
// there, on a fleet's data.
func TestQueriesOfTheDocs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/postgres.md")
	if err != nil {
		t.Fatal(err)
	}
	cfg, db := migrated(t)
	now := time.Now().UnixMilli()
	b := reading("pump-17", now, 1, "site", "leeds")
	b.AddTag("site", "leeds")
	b.AddField("temperature_c", 21.5)
	b.AddField("humidity_pct", 40)
	b.Commit(1, "pump-17", now)
	write(t, open(t, cfg), b)
	macros := strings.NewReplacer( // as Grafana's
		"$__timeGroup(time, $__interval)", "to_timestamp(floor(extract(epoch FROM time) / 60) * 60)",
		"$__timeFilter(time)", "time BETWEEN now() - interval '1 hour' AND now()")
	queries := regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(queries) < 7 {
		t.Fatalf("%d queries in docs/postgres.md", len(queries))
	}
	for _, q := range queries {
		if out := psql(t, db, macros.Replace(q[1])); out == "" && strings.HasPrefix(q[1], "SELECT") {
			t.Errorf("no rows from\n%s", q[1])
		}
	}
	if n := psql(t, db, "SELECT count(*) FROM telemetry_samples"); n != "0" {
		t.Errorf("%s samples are left of the device that the last query deletes", n)
	}
}

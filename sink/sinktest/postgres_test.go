package sinktest

import "testing"

// TestPostgres starts a server, kills it and starts it again on its port.
func TestPostgres(t *testing.T) {
	t.Parallel()
	p := StartPostgres(t)
	db := p.Database(t)
	if _, err := p.Psql(db, "CREATE TABLE kept AS SELECT 7 AS n"); err != nil {
		t.Fatal(err)
	}
	p.Kill()
	if _, err := p.Psql(db, "SELECT 1"); err == nil {
		t.Error("a killed server answers")
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if out, err := p.Psql(db, "SELECT n FROM kept"); err != nil || out != "7" {
		t.Errorf("after the restart: %q, %v", out, err)
	}
}

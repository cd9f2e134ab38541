package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestInfluxAccess holds InfluxDB's clients to the same keys as the native
// form, in each way in which they bring one, with answers in their own form.
func TestInfluxAccess(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "keys.ndjson")
	acme := penstockKey(t, file, "create", "--id", "acme", "--tenant", "acme", "--devices", "pump-*")
	fixed := penstockKey(t, file, "create", "--id", "fixed", "--device", "pump-17", "--dialects", "influx")
	native := penstockKey(t, file, "create", "--id", "native", "--devices", "*", "--dialects", "native")
	s := start(t, t.TempDir(), "--set", "access.keys_file="+file, "--set", "access.operator=open")
	const pump, other, nobody = "m,device=pump-1 t=1", "m,device=valve-1 t=1", "m t=1"
	for _, tt := range []struct {
		name, path, body, header string
		status                   int
		says                     string // the code, or else a part of the body
	}{
		{"Token", "/api/v2/write", pump, "Authorization: Token " + acme, 204, ""},
		{"Token of version 1", "/write", pump, "Authorization: Token user:" + acme, 204, ""},
		{"Bearer", "/api/v3/write_lp", pump, bearer(acme), 204, ""},
		{"Basic", "/write", pump, basic(acme), 204, ""},
		{"the query", "/write?u=user&p=" + acme, pump, "", 204, ""},
		{"a fixed device", "/write", nobody, bearer(fixed), 204, ""},
		{"nothing", "/api/v2/write", pump, "", 401, "unauthorized"},
		{"a wrong token", "/write", pump, "Authorization: Token x", 401, `"error":`},
		{"a scheme that is none", "/write", pump, "Authorization: Digest " + acme, 401, `"error":`},
		{"another device", "/api/v2/write", other, "Authorization: Token " + acme, 403, "forbidden"},
		{"a key for another form", "/api/v2/write", pump, "Authorization: Token " + native, 403, "forbidden"},
		{"this key elsewhere", "/v1/telemetry", `{"values":{"t":1}}`, bearer(fixed), 403, "device_not_allowed"},
		{"a ping", "/ping", "", "", 401, ""},
	} {
		var headers []string
		if tt.header != "" {
			headers = append(headers, tt.header)
		}
		method := "POST"
		if tt.body == "" {
			method = "GET"
		}
		status, text := ask(t, method, s.devices+tt.path, tt.body, headers...)
		if status != tt.status || !strings.Contains(text, tt.says) {
			t.Errorf("%s: %d %s, want %d %s", tt.name, status, text, tt.status, tt.says)
		}
	}
	if got := s.metric(`penstock_events_total{outcome="accepted"}`); got != 6 {
		t.Errorf("%g events were accepted, want 6", got)
	}
}

package httpapi

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestDefaultConfig(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	v := reflect.ValueOf(cfg)
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if field.Tag.Get("yaml") == "" || field.Tag.Get("help") == "" {
			t.Errorf("%s has no yaml name or no help", field.Name)
		}
		got, want := fmt.Sprint(v.Field(i).Int()), field.Tag.Get("default")
		if field.Type == reflect.TypeFor[time.Duration]() {
			d, err := time.ParseDuration(want)
			if err != nil {
				t.Errorf("%s: %v", field.Name, err)
			}
			want = strconv.FormatInt(int64(d), 10)
		}
		if got != want {
			t.Errorf("%s is %s, its tag says %s", field.Name, got, want)
		}
	}
}

func TestValidateReportsAllFaults(t *testing.T) {
	t.Parallel()
	err := Config{MaxConnectionsPerIP: -1}.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	text := "\n" + err.Error()
	for field := range reflect.TypeFor[Config]().Fields() {
		if key := field.Tag.Get("yaml"); !strings.Contains(text, "\n"+key+": ") {
			// These two are right by comparison with others that are zero.
			if key != "max_decompressed_bytes" && key != "max_inflight_bytes" && key != "retry_after_max" {
				t.Errorf("%s is not named in %s", key, text)
			}
		}
	}
	for name, change := range map[string]func(*Config){
		"max_decompressed_bytes": func(c *Config) { c.MaxDecompressedBytes = c.MaxBodyBytes - 1 },
		"max_inflight_bytes":     func(c *Config) { c.MaxInflightBytes = c.leastInflight() - 1 },
		"retry_after_max":        func(c *Config) { c.RetryAfterMax = c.RetryAfterMin - 1 },
		"max_header_bytes":       func(c *Config) { c.MaxHeaderBytes = 1 << 21 },
	} {
		cfg := DefaultConfig()
		change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.HasPrefix(err.Error(), name+": ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

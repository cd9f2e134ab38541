package httpapi

import (
	"reflect"
	"strings"
	"testing"

	"github.com/penstock-io/penstock/internal/settings"
)

func TestDefaultConfig(t *testing.T) {
	t.Parallel()
	if err := settings.Validate(DefaultConfig()); err != nil {
		t.Error(err)
	}
}

func TestValidateReportsAllFaults(t *testing.T) {
	t.Parallel()
	err := settings.Validate(Config{MaxConnectionsPerIP: -1})
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
		if err := settings.Validate(cfg); err == nil || !strings.HasPrefix(err.Error(), name+": ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

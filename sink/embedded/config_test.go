package embedded

import (
	"strings"
	"testing"
	"time"

	"github.com/penstock-io/penstock/internal/settings"
)

func TestValidate(t *testing.T) {
	if err := settings.Validate(DefaultConfig()); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
	bad := Config{
		Retention: time.Hour, MetricPrefix: "1a", MemoryLimit: 1, MinFreeDisk: -1, FlushInterval: time.Millisecond,
		MaxConcurrentQueries: -1, QueryTimeout: 0, MaxQueryMemory: -1,
	}
	err := settings.Validate(bad)
	for _, key := range []string{"retention", "metric_prefix", "memory_limit", "min_free_disk", "flush_interval",
		"max_concurrent_queries", "query_timeout", "max_query_memory"} {
		if err == nil || !strings.Contains("\n"+err.Error(), "\n"+key+": ") {
			t.Errorf("%s is not reported in\n%v", key, err)
		}
	}
}

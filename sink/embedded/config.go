package embedded

import (
	"runtime"
	"time"

	"github.com/penstock-io/penstock/internal/settings"
)

// Config holds the settings of the embedded store.
type Config struct {
	// Retention is how far back samples are kept and accepted. At least 24h,
	// at most 100 years. The engine deletes whole months, so data may live up
	// to a month longer than it can be queried.
	Retention time.Duration `yaml:"retention" default:"8760h" min:"1d" max:"36500d" help:"How far back samples are kept and accepted."`

	// MetricPrefix is put before each field's name to make the metric's name.
	// Empty means none.
	MetricPrefix string `yaml:"metric_prefix" default:"" match:"([A-Za-z_][A-Za-z0-9_]{0,127})?" help:"Text before each field's name in the metric's name."`

	// MemoryLimit bounds the engine's caches and its largest parts in memory,
	// in bytes. It is a limit, not a reservation: 300,000 active series fill
	// 32 MiB of it. 0 means a quarter of the machine's memory or of the
	// cgroup's limit, but at most 2 GiB, of which the engine gives 740 MiB to
	// the names of series: enough for some three million active ones. It is
	// fixed by the first Open of the process.
	MemoryLimit int64 `yaml:"memory_limit" unit:"bytes" default:"0" zero:"a quarter of the machine's memory" min:"16MiB" help:"Bound on the engine's caches. The default is at most 2GiB."`

	// MinFreeDisk is the free space of the file system, in bytes, below which
	// the store takes no more samples until there is room again.
	MinFreeDisk int64 `yaml:"min_free_disk" unit:"bytes" default:"100MiB" min:"0" help:"Free disk space below which the store is read-only."`

	// FlushInterval is how long samples may stay in memory without a Sync. At
	// least 1s. Samples are visible to queries before that.
	FlushInterval time.Duration `yaml:"flush_interval" default:"5s" min:"1s" max:"1h" help:"Longest time that samples stay in memory only."`

	// MaxConcurrentQueries is how many queries run at once; others wait up to
	// ten seconds and then get 429. 0 means twice the cores, at most 16.
	MaxConcurrentQueries int `yaml:"max_concurrent_queries" default:"0" zero:"twice the cores" min:"0" help:"Queries that run at once. The default is at most 16."`

	// QueryTimeout ends a query that takes longer. It does not hold for
	// exports, which end when the client goes away.
	QueryTimeout time.Duration `yaml:"query_timeout" default:"30s" min:"1s" help:"Longest time that a query may take."`

	// MaxQueryMemory bounds what one query may use, in bytes. 0 means no
	// bound of its own.
	MaxQueryMemory int64 `yaml:"max_query_memory" unit:"bytes" default:"0" zero:"unlimited" min:"0" help:"Memory that one query may use."`
}

// DefaultConfig returns the settings that serve without a configuration.
func DefaultConfig() Config { return settings.Default[Config]() }

// maxDefaultMemory is the most that MemoryLimit is when nobody sets it.
const maxDefaultMemory = 2 << 30

func (c Config) withDefaults() Config {
	if c.MemoryLimit == 0 {
		c.MemoryLimit = min(machineMemory()/4, maxDefaultMemory)
	}
	if c.MaxConcurrentQueries == 0 {
		c.MaxConcurrentQueries = min(2*runtime.GOMAXPROCS(0), 16)
	}
	return c
}

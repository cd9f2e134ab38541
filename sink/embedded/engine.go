package embedded

import (
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmselect"
	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmstorage"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logger"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/memory"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/storage"
)

// The engine's settings, log and storage are globals of its packages, so a
// process can have one Store at a time, and its ownership is the one thing
// here that has to be a global too.
var owner struct {
	sync.Mutex
	taken bool
	// broken is why the engine cannot be opened again: it gave up halfway,
	// and what it left behind cannot be told.
	broken error
}

// ErrTaken is returned by Open while the process has another Store.
var ErrTaken = errors.New("the process has an embedded store already")

// startEngine takes the process's engine and opens it on dir. out gets its
// log from now on.
func startEngine(dir string, cfg Config, out *logWriter) (err error) {
	owner.Lock()
	defer owner.Unlock()
	if owner.broken != nil {
		return fmt.Errorf("the engine failed before and cannot be opened again in this process: %w", owner.broken)
	}
	if owner.taken {
		return ErrTaken
	}
	if err := probeLock(filepath.Join(dir, lockFile)); err != nil {
		return err
	}
	logger.SetOutputForTests(out)
	if err := setFlags(dir, cfg, out); err != nil {
		return err
	}

	// The engine reports what it cannot open by panicking, after a line in
	// its log. In its own goroutines that ends the process.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("cannot open the engine: %v", p)
			owner.broken = err
		}
	}()
	// The cache of query results is off (see setFlags), so nothing has to be
	// reset when old samples come in.
	vmstorage.Init(cfg.MaxConcurrentQueries, queryQueueDuration, func([]storage.MetricRow) {})
	vmselect.Init(cfg.MaxConcurrentQueries, queryQueueDuration)
	owner.taken = true
	return nil
}

// stopEngine flushes and closes the engine. Nobody may use it any more.
func stopEngine() (err error) {
	owner.Lock()
	defer owner.Unlock()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("cannot close the engine: %v", p)
			owner.broken = err
		}
	}()
	owner.taken = false
	vmstorage.Stop()
	vmselect.Stop()
	return nil
}

// queryQueueDuration is how long a query waits for its turn.
const queryQueueDuration = 10 * time.Second

// futureWindow is how far ahead of the clock the engine takes samples.
const futureWindow = 48 * time.Hour

// setFlags sets the engine's flags. They are registered in flag.CommandLine
// by its packages; the program's own command line is parsed elsewhere and
// never sees them.
func setFlags(dir string, cfg Config, out *logWriter) error {
	if !flag.Parsed() {
		// The engine insists on parsed flags.
		if err := flag.CommandLine.Parse(nil); err != nil {
			return fmt.Errorf("cannot set up the engine's flags: %w", err)
		}
	}
	seconds := func(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) + "s" }
	bytes := func(n int64) string { return strconv.FormatInt(n, 10) }
	flags := []setting{
		{"storageDataPath", dir},
		{"retentionPeriod", seconds(cfg.Retention)},
		{"inmemoryDataFlushInterval", cfg.FlushInterval.String()},
		{"storage.minFreeDiskSpaceBytes", bytes(cfg.MinFreeDisk)},
		{"memory.allowedBytes", bytes(cfg.MemoryLimit)},
		{"memory.allowedPercent", "25"}, // where the machine's memory is not known

		// Redelivery writes samples again; one per series and millisecond is
		// to be left.
		{"dedup.minScrapeInterval", "1ms"},

		// New samples are to be seen at once, late ones as well: devices send
		// hours of backlog, so a cached result would be wrong too often.
		{"search.latencyOffset", "0s"},
		{"search.disableCache", "true"},
		{"search.disableAutoCacheReset", "true"},
		// Which series a selector matches is remembered for ten seconds and
		// more: a device that is new while a dashboard polls would not show.
		// One byte is room for none. It costs 0.1 ms per query.
		{"storage.cacheSizeIndexDBTagFilters", "1"},

		{"search.maxQueryDuration", cfg.QueryTimeout.String()},
		{"search.maxLabelsAPIDuration", cfg.QueryTimeout.String()},
		{"search.maxMemoryPerQuery", bytes(cfg.MaxQueryMemory)},

		// The engine would let any web page read the store.
		{"http.disableCORS", "true"},
		{"storage.trackMetricNamesStats", "false"},

		{"loggerFormat", "default"},
		{"loggerDisableTimestamps", "true"},
		{"loggerLevel", out.level()},
	}
	if err := set(flags); err != nil {
		return err
	}
	// These have the engine's own defaults, which it does not find again when
	// it is opened a second time: its caches would be empty from then on.
	share := func(of float64) string { return bytes(int64(of * float64(memory.Allowed()))) }
	return set([]setting{
		{"storage.cacheSizeIndexDBIndexBlocks", share(0.10)},
		{"storage.cacheSizeIndexDBDataBlocks", share(0.25)},
		{"storage.cacheSizeIndexDBDataBlocksSparse", share(0.05)},
	})
}

type setting struct{ name, value string }

func set(flags []setting) error {
	for _, f := range flags {
		if err := flag.Set(f.name, f.value); err != nil {
			return fmt.Errorf("cannot set the engine's flag %s: %w", f.name, err)
		}
	}
	return nil
}

package app

import (
	"fmt"
	"path/filepath"
)

// Banner tells a person, in a few lines, where to post, where to look, and
// how much memory the service may take.
func (a *App) Banner() []string {
	dir, err := filepath.Abs(a.cfg.DataDir)
	if err != nil {
		dir = a.cfg.DataDir
	}
	ops := a.opsLn.Addr()
	lines := []string{
		"Penstock is serving.",
		fmt.Sprintf("  POST events to  http://%s/v1/telemetry", a.devicesLn.Addr()),
		fmt.Sprintf("  look at them    http://%s/vmui/", ops),
		fmt.Sprintf("  query them      http://%s/api/v1/query (a Prometheus data source)", ops),
		fmt.Sprintf("  metrics         http://%s/metrics", ops),
		fmt.Sprintf("  data            %s", dir),
	}
	var sum int64
	parts := ""
	for i, b := range a.memoryBounds() {
		if i > 0 {
			parts += ", "
		}
		parts += fmt.Sprintf("%s %d MiB", b.name, b.bytes>>20)
		sum += b.bytes
	}
	return append(lines, fmt.Sprintf("  memory bound    %d MiB (%s)", sum>>20, parts))
}

type bound struct {
	name  string
	bytes int64
}

// memoryBounds lists what each room may hold. Their sum bounds the service's
// own memory, but for what the Go runtime adds.
func (a *App) memoryBounds() []bound {
	return []bound{
		{"requests", a.devices.MemoryBound()},
		{"pool", a.cfg.Pool.QueueBytes},
		{"delivery", a.sink.MemoryLimit()},
		{"journal", a.journal.MemoryLimit()},
		{"store", a.store.MemoryLimit()},
	}
}

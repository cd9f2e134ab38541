package app

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/penstock-io/penstock/cmd/penstock/config"
)

// Banner tells a person, in a few lines, where to post, where to look, and
// how much memory the service may take.
func (a *App) Banner() []string {
	dir, err := filepath.Abs(a.cfg.DataDir)
	if err != nil {
		dir = a.cfg.DataDir
	}
	ops := fmt.Sprintf("%s://%s", scheme(a.cfg.OpsTLS), a.opsLn.Addr())
	lines := []string{
		"Penstock is serving.",
		fmt.Sprintf("  POST events to  %s://%s/v1/telemetry", scheme(a.cfg.TLS), a.devicesLn.Addr()),
	}
	if a.store != nil {
		lines = append(lines,
			fmt.Sprintf("  look at them    %s/vmui/", ops),
			fmt.Sprintf("  query them      %s/api/v1/query (a Prometheus data source)", ops))
	}
	if sinks := a.reloads.config().Sinks; len(sinks) > 0 {
		var names []string
		for _, s := range sinks {
			names = append(names, fmt.Sprintf("%s (%s)", s.Name, s.Type))
		}
		lines = append(lines, "  they go on to   "+strings.Join(names, ", "))
	}
	lines = append(lines,
		fmt.Sprintf("  metrics         %s/metrics", ops),
		fmt.Sprintf("  data            %s", dir))
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
	bounds := []bound{
		{"requests", a.devices.MemoryBound()},
		{"pool", a.cfg.Pool.QueueBytes},
		{"journal", a.journal.MemoryLimit()},
	}
	if a.store != nil {
		bounds = append(bounds, bound{"store", a.store.MemoryLimit()})
	}
	for _, o := range a.sinks.all() {
		bytes := o.cfg.Delivery.MemoryBytes
		if w, ok := o.store.Writer.(interface{ MemoryLimit() int64 }); ok && o.cfg.Type != config.EmbeddedSink {
			bytes += w.MemoryLimit()
		}
		bounds = append(bounds, bound{"sink " + o.cfg.Name, bytes})
	}
	return bounds
}

package app

import (
	"errors"
	"io"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/cmd/penstock/ops"
)

// service is what the operator's listener shows of the program.
func (a *App) service() ops.Service {
	s := ops.Service{
		Devices:       a.devicesLn.Addr().String(),
		Metrics:       a.writeMetrics,
		Checks:        a.checks,
		Configuration: func() any { return a.reloads.get() },
		Table:         a.table,
		Sinks:         a.replayable,
		Orphans:       a.sinks.orphans,
		Forget:        a.sinks.forget,
	}
	if a.access != nil {
		s.OpenMetrics = a.cfg.Access.OpenMetrics
		if a.cfg.Access.OperatorNeedsKeys() {
			s.Access = a.access
		}
	}
	if a.store != nil {
		s.Queries = a.store.Handler()
	}
	return s
}

func (a *App) writeMetrics(w io.Writer) {
	a.set.WritePrometheus(w)
	for _, o := range a.sinks.all() {
		o.set.Load().WritePrometheus(w)
		o.store.set.WritePrometheus(w)
	}
	if a.store == nil {
		// The engine's metrics cannot be had without the engine.
		metrics.WriteProcessMetrics(w)
		return
	}
	// The engine's metrics and those of the process.
	metrics.WritePrometheus(w, true)
}

var errDraining = errors.New("shutting down")

// checks are the parts of /readyz. A store that is away does not make the
// service unready: the journal takes the events.
func (a *App) checks() []ops.Check {
	var draining error
	if a.draining.Load() {
		draining = errDraining
	}
	all := []ops.Check{
		{Name: "listener", Required: true, Err: draining},
		{Name: "journal", Required: true, Err: a.journal.Ready()},
	}
	for _, o := range a.sinks.all() {
		all = append(all, ops.Check{Name: "sink/" + o.cfg.Name, Err: o.err(), State: o.state()})
	}
	if a.store != nil {
		all = append(all, ops.Check{Name: "store", Err: a.store.Ready()})
	}
	if a.access != nil {
		all = append(all, ops.Check{Name: "access", Err: a.access.Err()})
	}
	if reload := a.reloads.get(); reload.LastError != "" {
		all = append(all, ops.Check{Name: "configuration", Err: errors.New(reload.LastError)})
	}
	return all
}

// replayable are the sinks that have begun.
func (a *App) replayable() []ops.Sink {
	var all []ops.Sink
	for _, o := range a.sinks.all() {
		if s := o.sink.Load(); s != nil {
			all = append(all, ops.Sink{Name: o.cfg.Name, Replay: s.Replay})
		}
	}
	return all
}

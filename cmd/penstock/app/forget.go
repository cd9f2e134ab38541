package app

import (
	"fmt"
	"slices"
	"strings"

	"github.com/penstock-io/penstock/cmd/penstock/ops"
)

// forget gives up what the journal keeps for a sink that is not configured.
func (s *sinkSet) forget(name string) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	if slices.ContainsFunc(s.all(), func(r *sinkRuntime) bool { return r.cfg.Name == name }) {
		return fmt.Errorf("sink %q: %w", name, ops.ErrSinkConfigured)
	}
	st, ok := s.journal.Stats().Consumers[name]
	if !ok {
		return fmt.Errorf("sink %q: %w", name, ops.ErrNoSuchSink)
	}
	if err := s.journal.DropConsumer(name); err != nil {
		return err
	}
	s.log.Warn("sink forgotten; what it had not delivered is given up", "sink", name, "backlog_bytes", st.Backlog)
	return nil
}

// orphans lists, by name, the sinks that are not configured and for which the
// journal keeps a backlog.
func (s *sinkSet) orphans() []ops.Orphan {
	list := []ops.Orphan{}
	for name, st := range s.journal.Stats().Consumers {
		if !st.Attached {
			list = append(list, ops.Orphan{Name: name, Backlog: st.Backlog, GivenUpBytes: st.GivenUpBytes, GivenUpEvents: st.GivenUpEvents})
		}
	}
	slices.SortFunc(list, func(a, b ops.Orphan) int { return strings.Compare(a.Name, b.Name) })
	return list
}

package enrich

import (
	"maps"
	"strings"
	"sync"

	"github.com/penstock-io/penstock/enrich/source/mirror"
	"github.com/penstock-io/penstock/ingest/event"
)

// changes orders everything that alters the table. Readers never take its
// lock: they load the pointer to the table, and from the table's map.
//
// A table of a million devices is built for seconds, in which single devices
// change. Such a change goes into the current table at once. It is noted as
// well, and the new table gets it before it becomes current: the device is
// worked out again from its sources, which by then all say the new thing.
type changes struct {
	mu        sync.Mutex
	reloading bool
	touched   map[string]struct{} // devices that changed while reloading

	overrides map[string]*event.Labels // labels that were set over the API, by device
	file      *mirror.File             // where overrides are kept; nil if nowhere
}

// beginReload says that a table is being built, from what the sources say
// from now on. It returns a copy of what is under the overrides of old.
func (c *changes) beginReload(old *snapshot) map[string]base {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reloading, c.touched = true, map[string]struct{}{}
	return maps.Clone(old.under)
}

// endReload forgets what was noted. The lock of reloads is held over both.
func (c *changes) endReload() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reloading, c.touched = false, nil
}

// seen reports whether a device has changed since beginReload.
func (c *changes) seen() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.touched) > 0
}

// publish makes the candidate the current table, with the overrides and with
// what changed while it was built. Without a new table the old one stays, but
// which rows of which source it is made of may be new.
func (t *Table) publish(c candidate) {
	t.changes.mu.Lock()
	defer t.changes.mu.Unlock()
	for i, s := range t.sources {
		if f, ok := s.(*fetched); ok {
			f.accept(c.stamps[i])
		}
	}
	old := t.current.Load()
	next := c.next
	if next == nil {
		next = &snapshot{devices: old.devices, loadedAt: old.loadedAt, under: old.under}
	} else {
		next.under = make(map[string]base, len(t.changes.overrides))
	}
	next.layers, next.rows = c.layers, c.rows
	for device := range t.changes.overrides {
		t.refresh(next, device)
	}
	for device := range t.changes.touched {
		t.refresh(next, device)
	}
	t.current.Store(next)
	if c.next != nil {
		t.version.Add(1)
	}
}

// update works devices out again after their source has changed them. It is
// what sources call.
func (t *Table) update(devices []string) {
	t.changes.mu.Lock()
	defer t.changes.mu.Unlock()
	s := t.current.Load()
	if s == nil {
		return // the first table is still being built, from these very rows
	}
	changed := 0
	for _, device := range devices {
		if t.changes.reloading {
			t.changes.touched[device] = struct{}{}
		}
		if t.refresh(s, device) {
			changed++
		}
	}
	if changed > 0 {
		t.version.Add(1)
		t.metrics.changed.Add(changed)
	}
}

// refresh works out the labels of a device and stores them in s. It reports
// whether they have changed. changes.mu is held.
func (t *Table) refresh(s *snapshot, device string) bool {
	below := s.below(device)
	if n := below.labels.Len(); n > t.cfg.MaxLabels {
		t.log.Error("a device that has changed has too many labels, and keeps those that it had",
			"device", device, "labels", n, "max_labels", t.cfg.MaxLabels)
		return false
	}
	labels, known := below.labels, below.known
	if own, ok := t.changes.overrides[device]; ok {
		s.under[device] = below
		labels, known = overlay(labels, own), true
	} else {
		delete(s.under, device)
	}
	before, was := s.devices.Load(device)
	switch {
	case known == was && before.Equal(labels):
		return false
	case known:
		s.devices.Store(strings.Clone(device), labels)
	default:
		s.devices.Delete(device)
	}
	return true
}

// below returns what the sources give a device, without its override.
func (s *snapshot) below(device string) base {
	if s.layers == nil {
		if u, ok := s.under[device]; ok {
			return u
		}
		labels, known := s.devices.Load(device)
		return base{labels, known}
	}
	var b base
	for _, l := range s.layers {
		if labels, ok := l.Load(device); ok {
			b = base{overlay(b.labels, labels), true}
		}
	}
	return b
}

// overlay returns labels with those of upper over those of lower. It returns
// one of them as it is where the other adds nothing.
func overlay(lower, upper *event.Labels) *event.Labels {
	switch {
	case lower.Len() == 0:
		return upper
	case upper.Len() == 0:
		return lower
	}
	merged, err := event.NewLabels(mergeLabels(nil, lower.All(), upper.All()))
	if err != nil {
		// NewLabels refuses what is too long, or given twice; neither can
		// come of labels that were made by it.
		return upper
	}
	return merged
}

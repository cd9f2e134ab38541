package enrich

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/puzpuzpuz/xsync/v3"

	"github.com/penstock-io/penstock/ingest/event"
)

// snapshot is one version of the table. It does not change once it is
// published.
type snapshot struct {
	devices  *xsync.MapOf[string, *event.Labels]
	version  uint64
	loadedAt time.Time
	sources  []SourceStatus
}

// builder makes a snapshot of what the sources emit. It is used once, by one
// goroutine.
type builder struct {
	ctx     context.Context
	cfg     *Config
	old     *snapshot // nil at first
	entries []entry
	byName  map[string]uint32        // device -> index in entries
	sets    map[string]*event.Labels // encoded labels -> the labels, shared by all devices that have them
	faults  faultList

	source string // the one that emits now
	number uint32 // and its place in the list, from 0
	rows   int    // of that source

	merged, spare []event.Label // scratch
	encoded       []byte        // scratch
}

// entry is a device of the table that is being built.
type entry struct {
	device string
	labels *event.Labels
	// The last source with a row of the device, and where it stands.
	source, line uint32
}

func newBuilder(ctx context.Context, cfg *Config, old *snapshot) *builder {
	b := &builder{ctx: ctx, cfg: cfg, old: old}
	expected := 0
	if old != nil {
		expected = old.devices.Size()
	}
	b.entries = make([]entry, 0, expected)
	b.byName = make(map[string]uint32, expected)
	b.sets = make(map[string]*event.Labels)
	return b
}

// begin says that the rows to come are those of the source with that number.
func (b *builder) begin(number int, source string) {
	b.source, b.number, b.rows = source, uint32(number), 0
}

// add takes the next row of the source. Faults of the row are collected; an
// error means that nothing more is wanted.
func (b *builder) add(r row) error {
	if b.rows++; b.rows%1024 == 0 {
		if err := b.ctx.Err(); err != nil {
			return err
		}
	}
	if r.fault != "" {
		return b.fault(r, r.fault)
	}
	if fault := checkDevice(r.device); fault != "" {
		return b.fault(r, fault)
	}
	if fault := b.take(r.labels); fault != "" {
		return b.fault(r, fmt.Sprintf("device %q: %s", r.device, fault))
	}
	i, again := b.byName[r.device]
	if again {
		if b.entries[i].source == b.number {
			if r.line == 0 {
				return b.fault(r, fmt.Sprintf("device %q is given twice", r.device))
			}
			return b.fault(r, fmt.Sprintf("device %q is given twice, first on line %d", r.device, b.entries[i].line))
		}
		b.mergeUnder(b.entries[i].labels)
	}
	if len(b.merged) > b.cfg.MaxLabels {
		return b.fault(r, fmt.Sprintf("device %q has %d labels, max_labels is %d", r.device, len(b.merged), b.cfg.MaxLabels))
	}
	labels, err := b.share(r.device)
	if err != nil {
		return b.fault(r, fmt.Sprintf("device %q: %v", r.device, err))
	}
	line := uint32(min(max(r.line, 0), math.MaxUint32))
	if again {
		e := &b.entries[i]
		e.labels, e.source, e.line = labels, b.number, line
		return nil
	}
	if len(b.entries) >= b.cfg.MaxDevices {
		_ = b.fault(r, fmt.Sprintf("more than %d devices, which is max_devices", b.cfg.MaxDevices))
		return errTooMany
	}
	device := strings.Clone(r.device)
	b.byName[device] = uint32(len(b.entries))
	b.entries = append(b.entries, entry{device, labels, b.number, line})
	return nil
}

func (b *builder) fault(r row, text string) error {
	return b.faults.add(b.source, r.line, text)
}

// take checks the labels of a row and puts those with a value, sorted by
// name, into b.merged. It returns what is wrong with them, or "".
func (b *builder) take(labels []event.Label) string {
	b.merged = b.merged[:0]
	for _, l := range labels {
		if fault := checkName(l.Name); fault != "" {
			return fault
		}
		if fault := checkValue(l.Value); fault != "" {
			return fmt.Sprintf("the value of label %q %s", l.Name, fault)
		}
		if l.Value != "" {
			b.merged = append(b.merged, l)
		}
	}
	slices.SortFunc(b.merged, func(x, y event.Label) int { return cmp.Compare(x.Name, y.Name) })
	for i := 1; i < len(b.merged); i++ {
		if b.merged[i].Name == b.merged[i-1].Name {
			return fmt.Sprintf("label %q is given twice", b.merged[i].Name)
		}
	}
	return ""
}

// mergeUnder adds to b.merged those of the earlier sources' labels whose
// names it does not have, and keeps it sorted.
func (b *builder) mergeUnder(earlier *event.Labels) {
	later := b.merged
	out := b.spare[:0]
	for _, l := range earlier.All() {
		for len(later) > 0 && later[0].Name < l.Name {
			out = append(out, later[0])
			later = later[1:]
		}
		if len(later) == 0 || later[0].Name != l.Name {
			out = append(out, l)
		}
	}
	out = append(out, later...)
	b.merged, b.spare = out, b.merged
}

// share returns b.merged as labels: those that the device had before if they
// are the same, else those of another device that has the same, else new
// ones. No labels are nil.
func (b *builder) share(device string) (*event.Labels, error) {
	if len(b.merged) == 0 {
		return nil, nil
	}
	b.encoded = b.encoded[:0]
	for _, l := range b.merged {
		b.encoded = event.AppendLabel(b.encoded, l.Name, l.Value)
	}
	shared := b.sets[string(b.encoded)]
	if b.old != nil {
		if before, _ := b.old.devices.Load(device); before != shared && bytes.Equal(before.Encoded(), b.encoded) {
			if shared == nil {
				b.sets[event.String(before.Encoded())] = before
			}
			return before, nil
		}
	}
	if shared != nil {
		return shared, nil
	}
	labels, err := event.NewLabels(b.merged)
	if err != nil {
		return nil, err
	}
	// The key aliases the labels' own bytes, which never change.
	b.sets[event.String(labels.Encoded())] = labels
	return labels, nil
}

// unchanged reports whether the new table would say what the old one says.
// Labels that are equal are identical here, thanks to share.
func (b *builder) unchanged() bool {
	if b.old == nil || b.old.devices.Size() != len(b.entries) {
		return false
	}
	for i := range b.entries {
		e := &b.entries[i]
		if labels, ok := b.old.devices.Load(e.device); !ok || labels != e.labels {
			return false
		}
	}
	return true
}

// finish returns the devices' map, made for as many as there are.
func (b *builder) finish() *xsync.MapOf[string, *event.Labels] {
	devices := xsync.NewMapOf[string, *event.Labels](xsync.WithPresize(len(b.entries)))
	for i := range b.entries {
		devices.Store(b.entries[i].device, b.entries[i].labels)
	}
	return devices
}

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

// snapshot is a table. What is below its devices is looked at only by those
// who change it, under changes.mu.
type snapshot struct {
	devices  *xsync.MapOf[string, *event.Labels]
	loadedAt time.Time
	rows     []int // of each source

	// layers say what each source gives a device, in their order. They are
	// nil where the only source is a file, whose rows are the table.
	layers []layer

	// under says what the sources give to those devices that have an
	// override.
	under map[string]base
}

// layer is what one source says, by device.
type layer interface {
	Load(device string) (*event.Labels, bool)
}

// base is what the sources together give a device.
type base struct {
	labels *event.Labels
	known  bool
}

// builder makes a snapshot of what the sources emit. It is used once, by one
// goroutine.
type builder struct {
	ctx     context.Context
	cfg     *Config
	old     *snapshot       // nil at first
	under   map[string]base // a copy of the old one's
	layered bool            // rows of each source are kept apart as well
	layers  []layer
	layer   *xsync.MapOf[string, *event.Labels] // of the source that emits; nil if it has its own
	entries []entry
	byName  map[string]uint32        // device -> index in entries
	sets    map[string]*event.Labels // encoded labels -> the labels, shared by all devices that have them
	faults  faultList

	source string // the one that emits
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
// own is the source's layer where it keeps one itself.
func (b *builder) begin(number int, source string, own layer) {
	b.source, b.number, b.rows = source, uint32(number), 0
	b.layer = nil
	if !b.layered {
		return
	}
	if own == nil {
		b.layer = xsync.NewMapOf[string, *event.Labels]()
		own = b.layer
	}
	b.layers = append(b.layers, own)
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
	if r.hasReady {
		b.merged = append(b.merged[:0], r.ready.All()...)
	} else if fault := b.check(r); fault != "" {
		return b.fault(r, fault)
	}
	i, again := b.byName[r.device]
	if again {
		if b.entries[i].source == b.number {
			if r.line == 0 {
				return b.fault(r, fmt.Sprintf("device %q is given twice", r.device))
			}
			return b.fault(r, fmt.Sprintf("device %q is given twice, first on line %d", r.device, b.entries[i].line))
		}
	}
	if b.layer != nil {
		own, err := b.share(r.device, nil)
		if err != nil {
			return b.fault(r, fmt.Sprintf("device %q: %v", r.device, err))
		}
		b.layer.Store(strings.Clone(r.device), own)
	}
	ready := r.ready
	if again {
		b.mergeUnder(b.entries[i].labels)
		ready = nil
	}
	if len(b.merged) > b.cfg.MaxLabels {
		return b.fault(r, fmt.Sprintf("device %q has %d labels, max_labels is %d", r.device, len(b.merged), b.cfg.MaxLabels))
	}
	labels, err := b.share(r.device, ready)
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

// check checks a row and puts its labels into b.merged. It returns what is
// wrong with it, or "".
func (b *builder) check(r row) string {
	if fault := checkDevice(r.device); fault != "" {
		return fault
	}
	if fault := b.take(r.labels); fault != "" {
		return fmt.Sprintf("device %q: %s", r.device, fault)
	}
	return ""
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
	b.merged, b.spare = mergeLabels(b.spare[:0], earlier.All(), b.merged), b.merged
}

// mergeLabels appends the labels of two lists that are sorted by name. Where
// both have one, the later wins.
func mergeLabels(dst, earlier, later []event.Label) []event.Label {
	for _, l := range earlier {
		for len(later) > 0 && later[0].Name < l.Name {
			dst = append(dst, later[0])
			later = later[1:]
		}
		if len(later) == 0 || later[0].Name != l.Name {
			dst = append(dst, l)
		}
	}
	return append(dst, later...)
}

// share returns b.merged as labels: those that the device had before if they
// are the same, else those of another device that has the same, else ready
// ones if there are, else new ones. No labels are nil.
func (b *builder) share(device string, ready *event.Labels) (*event.Labels, error) {
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
	labels := ready
	if labels == nil {
		var err error
		if labels, err = event.NewLabels(b.merged); err != nil {
			return nil, err
		}
	}
	// The key aliases the labels' own bytes, which never change.
	b.sets[event.String(labels.Encoded())] = labels
	return labels, nil
}

// unchanged reports whether the new table would say what the sources said in
// the old one. Labels that are equal are identical here, thanks to share.
func (b *builder) unchanged() bool {
	if b.old == nil || b.old.devices.Size()-added(b.under) != len(b.entries) {
		return false
	}
	for i := range b.entries {
		e := &b.entries[i]
		if u, overridden := b.under[e.device]; overridden {
			if !u.known || !u.labels.Equal(e.labels) {
				return false
			}
		} else if labels, ok := b.old.devices.Load(e.device); !ok || labels != e.labels {
			return false
		}
	}
	return true
}

// added returns how many devices are in the table by their override alone.
func added(under map[string]base) int {
	n := 0
	for _, u := range under {
		if !u.known {
			n++
		}
	}
	return n
}

// finish returns the devices' map, made for as many as there are.
func (b *builder) finish() *xsync.MapOf[string, *event.Labels] {
	devices := xsync.NewMapOf[string, *event.Labels](xsync.WithPresize(len(b.entries)))
	for i := range b.entries {
		devices.Store(b.entries[i].device, b.entries[i].labels)
	}
	return devices
}

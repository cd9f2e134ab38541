package enrich

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/puzpuzpuz/xsync/v3"

	"github.com/penstock-io/penstock/enrich/row"
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
func (b *builder) add(r row.Row) error {
	var err error
	if b.merged, err = r.AppendLabels(b.merged[:0]); err != nil {
		b.rows++
		return b.fault(r.Line, err.Error())
	}
	return b.put(r.Device, r.Line, nil)
}

// addChecked takes a device whose labels an earlier builder has checked and
// made.
func (b *builder) addChecked(device string, labels *event.Labels) error {
	b.merged = append(b.merged[:0], labels.All()...)
	return b.put(device, 0, labels)
}

// put enters a device with the labels in b.merged, which are made if they are
// not those of the table already.
func (b *builder) put(device string, line int, made *event.Labels) error {
	if b.rows++; b.rows%1024 == 0 {
		if err := b.ctx.Err(); err != nil {
			return err
		}
	}
	i, again := b.byName[device]
	if again && b.entries[i].source == b.number {
		if line == 0 {
			return b.fault(line, fmt.Sprintf("device %q is given twice", device))
		}
		return b.fault(line, fmt.Sprintf("device %q is given twice, first on line %d", device, b.entries[i].line))
	}
	if b.layer != nil {
		own, err := b.share(device, nil)
		if err != nil {
			return b.fault(line, fmt.Sprintf("device %q: %v", device, err))
		}
		b.layer.Store(strings.Clone(device), own)
	}
	if again {
		b.mergeUnder(b.entries[i].labels)
		made = nil
	}
	if len(b.merged) > b.cfg.MaxLabels {
		return b.fault(line, fmt.Sprintf("device %q has %d labels, max_labels is %d", device, len(b.merged), b.cfg.MaxLabels))
	}
	labels, err := b.share(device, made)
	if err != nil {
		return b.fault(line, fmt.Sprintf("device %q: %v", device, err))
	}
	at := uint32(min(max(line, 0), math.MaxUint32))
	if again {
		e := &b.entries[i]
		e.labels, e.source, e.line = labels, b.number, at
		return nil
	}
	if len(b.entries) >= b.cfg.MaxDevices {
		_ = b.fault(line, fmt.Sprintf("more than %d devices, which is max_devices", b.cfg.MaxDevices))
		return errTooMany
	}
	device = strings.Clone(device)
	b.byName[device] = uint32(len(b.entries))
	b.entries = append(b.entries, entry{device, labels, b.number, at})
	return nil
}

func (b *builder) fault(line int, text string) error {
	return b.faults.add(b.source, line, text)
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
// are the same, else those of another device that has the same, else made
// ones if there are, else new ones. No labels are nil.
func (b *builder) share(device string, made *event.Labels) (*event.Labels, error) {
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
	labels := made
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

// maxFaults is how many faults of a table are reported at once.
const maxFaults = 10

// errTooMany ends a load that has found maxFaults.
var errTooMany = errors.New("too many faults")

// faultList is the error of sources that could be read, but not be used.
type faultList struct {
	list []string
}

// add records a fault and returns errTooMany with the last that is listed.
func (f *faultList) add(source string, line int, text string) error {
	if line > 0 {
		text = fmt.Sprintf("%s:%d: %s", source, line, text)
	} else {
		text = fmt.Sprintf("%s: %s", source, text)
	}
	f.list = append(f.list, text)
	if len(f.list) < maxFaults {
		return nil
	}
	return errTooMany
}

// Error returns one fault per line.
func (f *faultList) Error() string {
	text := strings.Join(f.list, "\n")
	if len(f.list) >= maxFaults {
		text += fmt.Sprintf("\nstopped after %d faults", maxFaults)
	}
	return text
}

package enrich

import (
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/penstock-io/penstock/enrich/row"
	"github.com/penstock-io/penstock/enrich/source/mirror"
	"github.com/penstock-io/penstock/ingest/event"
)

// ErrTooManyOverrides says that max_overrides devices have an override.
var ErrTooManyOverrides = errors.New("too many devices have labels of their own; max_overrides is the limit")

// ErrNotKept says that an override could not be written to disk. Nothing has
// changed.
var ErrNotKept = errors.New("the labels could not be written to disk; nothing has changed")

// Invalid says what is wrong with a device or its labels.
type Invalid struct{ Detail string }

func (e *Invalid) Error() string { return e.Detail }

// garbage is how many lines beyond twice the number of overrides the file may
// have before it is written anew.
const garbage = 1000

// open reads the overrides.
func (c *changes) open(cfg Config, log *slog.Logger) error {
	c.overrides = map[string]*event.Labels{}
	if cfg.Dir == "" {
		return nil
	}
	c.file = mirror.New(filepath.Join(cfg.Dir, nameOverrides+".ndjson"), nameOverrides)
	torn, err := c.file.Read(func(r row.Row) error {
		if r.Gone {
			delete(c.overrides, r.Device)
			return nil
		}
		labels, err := checkLabels(r.Device, r.Labels, cfg.MaxLabels)
		if err != nil {
			return err
		}
		c.overrides[r.Device] = labels
		return nil
	})
	switch {
	case mirror.Missing(err):
		return nil
	case err != nil:
		return fmt.Errorf("cannot read the labels that were set over the API: %w (mend the line, or move the file away to start without)", err)
	}
	if torn {
		log.Warn("the file of labels that were set over the API ended in the middle of a line, which was cut off", "file", c.file.Path())
	}
	return nil
}

// checkLabels returns the labels, if they may be those of a device by
// themselves.
func checkLabels(device string, labels []event.Label, maxLabels int) (*event.Labels, error) {
	r := row.Row{Device: device, Labels: labels}
	list, err := r.AppendLabels(nil)
	if err != nil {
		return nil, &Invalid{err.Error()}
	}
	if len(list) > maxLabels {
		return nil, &Invalid{fmt.Sprintf("device %q has %d labels, max_labels is %d", device, len(list), maxLabels)}
	}
	return event.NewLabels(list)
}

// SetOverride gives a device labels that win over those of all sources, and
// replaces those that it was given before. They are on disk when it returns,
// and are those of the next event. A device that is in no source is known by
// them, also if there are none. An error is *Invalid, ErrTooManyOverrides or
// ErrNotKept.
func (t *Table) SetOverride(device string, labels []event.Label) error {
	own, err := checkLabels(device, labels, t.cfg.MaxLabels)
	if err != nil {
		return err
	}
	device = strings.Clone(device)
	c := &t.changes
	c.mu.Lock()
	defer c.mu.Unlock()
	before, had := c.overrides[device]
	if !had && len(c.overrides) >= t.cfg.MaxOverrides {
		return fmt.Errorf("%w: %d", ErrTooManyOverrides, t.cfg.MaxOverrides)
	}
	if n := overlay(t.current.Load().below(device).labels, own).Len(); n > t.cfg.MaxLabels {
		return &Invalid{fmt.Sprintf("device %q would have %d labels with those of the sources, max_labels is %d", device, n, t.cfg.MaxLabels)}
	}
	c.overrides[device] = own
	if err := c.keep(row.Row{Device: device, Labels: own.All()}); err != nil {
		if had {
			c.overrides[device] = before
		} else {
			delete(c.overrides, device)
		}
		return err
	}
	t.apply(device)
	return nil
}

// RemoveOverride takes back what SetOverride gave, and reports whether there
// was anything. An error is ErrNotKept.
func (t *Table) RemoveOverride(device string) (bool, error) {
	c := &t.changes
	c.mu.Lock()
	defer c.mu.Unlock()
	before, had := c.overrides[device]
	if !had {
		return false, nil
	}
	delete(c.overrides, device)
	if err := c.keep(row.Row{Device: device, Gone: true}); err != nil {
		c.overrides[strings.Clone(device)] = before
		return true, err
	}
	t.apply(device)
	return true, nil
}

// apply brings a changed override into the table. changes.mu is held.
func (t *Table) apply(device string) {
	if t.changes.reloading {
		t.changes.touched[device] = struct{}{}
	}
	t.idle.Store(false)
	if t.refresh(t.current.Load(), device) {
		t.version.Add(1)
		t.metrics.changed.Inc()
	}
}

// keep writes a changed override to disk. The lock is held meanwhile: the
// order in the file is that of the changes.
func (c *changes) keep(r row.Row) error {
	if c.file == nil {
		return nil
	}
	err := errors.New("is written anew")
	if c.file.Usable() && c.file.Appended() < 2*len(c.overrides)+garbage {
		err = c.file.Append([]row.Row{r})
	}
	if err != nil {
		err = c.file.Replace(overrideRows(c.overrides))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotKept, err)
	}
	return nil
}

func overrideRows(devices map[string]*event.Labels) iter.Seq[row.Row] {
	return func(yield func(row.Row) bool) {
		for device, labels := range devices {
			if !yield(row.Row{Device: device, Labels: labels.All()}) {
				return
			}
		}
	}
}

package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Config says how a fleet behaves.
type Config struct {
	// Interval is the time between two readings of a device.
	Interval time.Duration
	// Backfill is how far back the devices begin: they come with that much in
	// memory. Zero means now.
	Backfill time.Duration
	// BackfillStep is the time between two readings of the past.
	BackfillStep time.Duration
	// MaxEvents is the number of events that a device sends at once.
	MaxEvents int
	// Memory is how much of the past a device can keep while the server is
	// away; what is older is lost. It is at least Backfill.
	Memory time.Duration
	// Grace is how long the devices try on to deliver what they have read,
	// after the end.
	Grace time.Duration
	// Seed gives the boot identities and the phases.
	Seed uint64
}

// Validate reports all faults of the configuration.
func (c Config) Validate() error {
	var errs []error
	if c.Interval <= 0 {
		errs = append(errs, fmt.Errorf("interval: must be positive, got %s", c.Interval))
	}
	if c.Backfill < 0 || c.Memory < 0 || c.Grace < 0 {
		errs = append(errs, errors.New("backfill, memory, grace: must not be negative"))
	}
	if c.Backfill > 0 && c.BackfillStep <= 0 {
		errs = append(errs, fmt.Errorf("backfill-step: must be positive, got %s", c.BackfillStep))
	}
	if c.MaxEvents < 1 {
		errs = append(errs, fmt.Errorf("events per envelope: must be at least 1, got %d", c.MaxEvents))
	}
	return errors.Join(errs...)
}

// Run lets the devices read and send until ctx is done, and then for at most
// cfg.Grace until everything is delivered. It returns an error only where
// the configuration is wrong or the server refuses devices.
func Run(ctx context.Context, client *Client, fleet []*Device, cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	// Sending outlives reading.
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(cfg.Grace, cancel) })
	defer stop()

	start := time.Now()
	var wg sync.WaitGroup
	errs := make([]error, len(fleet))
	for i, d := range fleet {
		rng := rand.New(rand.NewPCG(cfg.Seed^0xb007, uint64(i)))
		r := &runner{
			Config: cfg, device: d, live: start,
			sender: &Sender{Client: client, Device: d.Name, Tags: d.Tags,
				// A device that is started anew is not the one before: its
				// numbers begin again.
				Boot: fmt.Sprintf("%04x%08x", rng.Uint32N(1<<16), uint32(start.Unix()))},
			next: start.Add(-cfg.Backfill).Add(time.Duration(rng.Int64N(int64(cfg.Interval)))),
		}
		wg.Go(func() { errs[i] = r.run(ctx, sending) })
	}
	wg.Wait()
	for _, err := range errs {
		if errors.Is(err, ErrForbidden) {
			return err
		}
	}
	return nil
}

// runner is one device at work. It belongs to one goroutine.
type runner struct {
	Config
	device *Device
	sender *Sender
	live   time.Time // what is before it is backfill
	next   time.Time // when to read
	outbox []Event
}

// run reads when it is time and sends what it has. A device that could not
// send for a while has read on all the same: it catches up with what it would
// have read.
func (r *runner) run(ctx, sending context.Context) error {
	for {
		now := time.Now()
		if ctx.Err() == nil {
			r.read(now)
		}
		if len(r.outbox) > 0 {
			if err := r.send(sending); err != nil {
				return err
			}
			continue
		}
		if ctx.Err() != nil || !sleep(ctx, time.Until(r.next)) {
			return nil
		}
	}
}

// read fills the outbox with what is due.
func (r *runner) read(now time.Time) {
	memory := max(r.Memory, r.Backfill+r.Interval)
	for !r.next.After(now) && len(r.outbox) < r.MaxEvents {
		step := r.Interval
		if r.next.Add(r.BackfillStep).Before(r.live) {
			step = max(r.BackfillStep, r.Interval)
		}
		if now.Sub(r.next) > memory {
			r.sender.Client.Stats.update(func(c *Counts) { c.Skipped++ })
		} else if e, ok := r.device.Read(r.next); ok {
			r.outbox = append(r.outbox, e)
		}
		r.next = r.next.Add(step)
	}
}

func (r *runner) send(ctx context.Context) error {
	seq, err := r.sender.Send(ctx, r.outbox)
	if err == nil && r.device.Fault == Repeats && seq%3 == 0 {
		r.sender.Repeat(ctx, seq, r.outbox)
	}
	r.outbox = r.outbox[:0]
	return err
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// samplesPerEvent is that of the reference work.
const samplesPerEvent = 3

// mostCounted is the number of devices beyond which the samples are not
// counted afterwards: with three million series that takes longer than all
// the rest. Penstock's ledger is checked all the same.
const mostCounted = 100_000

// job is one run to do.
type job struct {
	peer  peer
	work  work
	round int
}

// measure does the run under the lock and returns what it saw. A run that
// went wrong has Error set; err is for what ends the whole invocation.
func (o options) measure(ctx context.Context, j job) (r result, err error) {
	r = result{Peer: j.peer.name, Round: j.round, Work: j.work}
	table, err := o.labels(j.work.Devices)
	if err != nil {
		return r, err
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return r, err
	}
	dir, err := os.MkdirTemp(o.dir, "run-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	unlock, err := lock(ctx, o.lock)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	// What runs before have left to be written is not this one's.
	syscall.Sync()

	r.Began = time.Now().UTC()
	s := &site{options: o, dir: dir, table: table}
	if err := s.phases(ctx, j, &r); err != nil {
		if ctx.Err() != nil {
			return r, ctx.Err()
		}
		r.Error, r.Unfaithful = err.Error(), errors.Is(err, errUnfaithful)
	}
	return r, nil
}

// phases is the run: first readings, steady state, end, and a look at what is
// in the store afterwards.
func (s *site) phases(ctx context.Context, j job, r *result) error {
	c, err := j.peer.start(ctx, s)
	if err != nil {
		return err
	}
	defer c.kill()
	begin, err := c.cpu()
	if err != nil {
		return err
	}

	first := []string{"--passes", "1", "--duration", "80s"}
	if r.First, err = s.fleet(ctx, j, c, first); err != nil {
		return err
	}
	r.Acknowledged = r.First.Events
	if r.First.Drain, err = s.quiet(ctx, j.peer, c, r.Acknowledged); err != nil {
		return err
	}
	between, err := s.settled(ctx, c)
	if err != nil {
		return err
	}
	r.First.CPU = minus(between, begin)

	steady := []string{"--duration", s.duration.String()}
	if j.work.Rate > 0 {
		steady = append(steady, "--rate", strconv.FormatFloat(j.work.Rate, 'f', -1, 64), "--warmup", "1s")
	}
	if r.Steady, err = s.fleet(ctx, j, c, steady); err != nil {
		return err
	}
	r.Acknowledged += r.Steady.Events
	if r.Steady.Drain, err = s.quiet(ctx, j.peer, c, r.Acknowledged); err != nil {
		return err
	}
	if j.peer.ledger {
		if err := c.balances(ctx, r.Acknowledged); err != nil {
			return err
		}
	}
	for _, p := range c.processes {
		if err := p.stop(ctx); err != nil {
			return err
		}
		r.PeakRSS = append(r.PeakRSS, p.peakRSS())
	}
	end, err := c.cpu()
	if err != nil {
		return err
	}
	r.Steady.CPU = minus(end, between)

	if j.work.Devices > mostCounted {
		return nil
	}
	store, url, err := j.peer.reopen(ctx, s)
	if err != nil {
		return err
	}
	defer store.kill()
	if r.Samples, err = count(ctx, url); err != nil {
		return err
	}
	if want := samplesPerEvent * r.Acknowledged; j.peer.ledger && r.Samples != want {
		return fmt.Errorf("%w: %d events were acknowledged, so that %d samples should be in the store, and %d are",
			errUnfaithful, r.Acknowledged, want, r.Samples)
	}
	return nil
}

// fleet drives the chain and returns what the generator saw.
func (s *site) fleet(ctx context.Context, j job, c *chain, how []string) (phase, error) {
	file := filepath.Join(s.dir, "fleet.json")
	args := append([]string{
		"bench", "--quiet", "--url", c.target, "--target-path", j.peer.path, "--format", j.peer.format, "--json", file,
		"--devices", strconv.Itoa(j.work.Devices),
		"--events-per-post", strconv.Itoa(j.work.PerPost),
		"--connections", strconv.Itoa(j.work.Connections),
	}, how...)
	var p phase
	out, err := exec.CommandContext(ctx, s.binary("fleet"), args...).CombinedOutput()
	if err != nil {
		return p, fmt.Errorf("fleet: %w\n%s\n%s", err, out, c.processes[0].tail())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return p, fmt.Errorf("fleet's result: %w", err)
	}
	return p, nil
}

// quiet waits until nothing is on its way to the store, as far as the chain
// tells, and returns how many seconds that took. A chain that loses events is
// given up on when no more of them arrive.
func (s *site) quiet(ctx context.Context, p peer, c *chain, acknowledged uint64) (float64, error) {
	want := float64(samplesPerEvent * acknowledged)
	begin, last := time.Now(), -1.0
	moved := begin
	err := until(ctx, 2*time.Minute, func() (bool, error) {
		m, err := scrape(ctx, c.metrics)
		if err != nil {
			return false, err
		}
		if p.ledger {
			return m[`penstock_events_in_flight`] == 0, nil
		}
		rows := m.sum("vm_rows_inserted_total")
		if rows != last {
			last, moved = rows, time.Now()
		}
		return rows >= want || time.Since(moved) > 3*time.Second, nil
	})
	if err != nil {
		return 0, fmt.Errorf("events stay in flight: %w", err)
	}
	took := time.Since(begin)
	if !p.ledger {
		took = moved.Sub(begin)
	}
	return took.Seconds(), nil
}

// settled leaves the chain alone for the settle time, and then for as long as
// it is still busy with the first events, so that the run does not pay for the
// series: programs that acknowledge early create them late. It returns what
// each program has used until then.
func (s *site) settled(ctx context.Context, c *chain) ([]float64, error) {
	const (
		window  = 500 * time.Millisecond
		idle    = 0.15 // of a core
		longest = 30 * time.Second
	)
	if err := pause(ctx, s.settle); err != nil {
		return nil, err
	}
	used, err := c.cpu()
	for deadline := time.Now().Add(longest); err == nil && time.Now().Before(deadline); {
		before := used
		if err := pause(ctx, window); err != nil {
			return nil, err
		}
		if used, err = c.cpu(); err == nil && sum(minus(used, before)) < idle*window.Seconds() {
			break
		}
	}
	return used, err
}

// cpu is what each program has used since it started.
func (c *chain) cpu() ([]float64, error) {
	used := make([]float64, len(c.processes))
	for i, p := range c.processes {
		var err error
		if used[i], err = p.cpu(); err != nil {
			return nil, err
		}
	}
	return used, nil
}

// labels writes the enrichment table of that many devices, once.
func (o options) labels(devices int) (string, error) {
	file := filepath.Join(o.dir, fmt.Sprintf("devices-%d.csv", devices))
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return "", err
	}
	text := []byte("device,site,customer,model\n")
	for i := range devices {
		text = fmt.Appendf(text, "dev-%06d,site-%03d,customer-%02d,TX-%d\n", i, i%500, i%40, 100+i%7)
	}
	// By another name first: an interrupted write must not be taken for whole.
	if err := os.WriteFile(file+".part", text, 0o644); err != nil {
		return "", err
	}
	return file, os.Rename(file+".part", file)
}

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// record is all that an invocation saw. The tables and plots are made from it
// and from nothing else.
type record struct {
	Command  string        `json:"command"`
	Began    time.Time     `json:"began"`
	Took     time.Duration `json:"took_ns"`
	Rounds   int           `json:"rounds"`
	Seconds  float64       `json:"seconds_per_run"`
	Settings []string      `json:"penstock_settings,omitempty"`
	Machine  machine       `json:"machine"`
	Versions []version     `json:"versions"`
	Runs     []result      `json:"runs"`
}

// work is the shape of a load, as fleet bench takes it.
type work struct {
	Name        string  `json:"name"`
	Devices     int     `json:"devices"`
	PerPost     int     `json:"events_per_post"`
	Connections int     `json:"connections"`
	Rate        float64 `json:"rate,omitempty"` // events per second of an open loop; 0 is a closed one
}

// result is one run: one program, or a chain of them, on one work.
type result struct {
	Peer  string    `json:"peer"`
	Round int       `json:"round"`
	Work  work      `json:"work"`
	Began time.Time `json:"began"`
	Error string    `json:"error,omitempty"` // why the rest is not to be used
	// Unfaithful is set where Penstock lost or invented an event.
	Unfaithful bool `json:"unfaithful,omitempty"`

	// First is one event of each device, which creates its series. Steady is
	// what follows.
	First  phase `json:"first"`
	Steady phase `json:"steady"`
	// PeakRSS is that of each program, in bytes, in the order of the chain.
	PeakRSS []int64 `json:"peak_rss_bytes"`
	// Acknowledged are the events of both phases; Samples is what a query
	// found after the program had been stopped and started again.
	Acknowledged uint64 `json:"acknowledged_events"`
	Samples      uint64 `json:"samples_found,omitempty"`
}

// phase is what the generator saw, and what the programs spent on it.
type phase struct {
	Seconds         float64 `json:"seconds"`
	EventsPerSecond float64 `json:"events_per_second"`
	Events          uint64  `json:"total_events"`
	Latency         struct {
		P50  float64 `json:"p50_ms"`
		P99  float64 `json:"p99_ms"`
		P999 float64 `json:"p999_ms"`
		Max  float64 `json:"max_ms"`
	} `json:"latency"`
	Statuses map[int]uint64 `json:"statuses"`
	Errors   uint64         `json:"errors"`
	Missed   uint64         `json:"missed,omitempty"`
	// Drain is how many seconds it took from the last answer until the store
	// had everything.
	Drain float64 `json:"drain_seconds"`
	// CPU is user and system, in seconds, of each program of the chain. That
	// of Steady goes on until the program has ended.
	CPU []float64 `json:"cpu_seconds"`
	// Generator is the generator's own, per million events.
	Generator float64 `json:"generator_cpu_s_per_million"`
}

// perMillion is CPU-seconds per million events, of the whole chain.
func (p phase) perMillion() float64 {
	if p.Events == 0 {
		return 0
	}
	return sum(p.CPU) / float64(p.Events) * 1e6
}

// throughput is the rate at which events reached the store.
func (p phase) throughput() float64 {
	if p.Events == 0 {
		return 0
	}
	return float64(p.Events) / (p.Seconds + p.Drain)
}

// stored is the share of the acknowledged events that a query found.
func (r result) stored() float64 {
	if r.Acknowledged == 0 {
		return 0
	}
	return float64(r.Samples) / float64(samplesPerEvent*r.Acknowledged)
}

// failures lists the runs that are not to be used.
func (r *record) failures() []string {
	var out []string
	for _, run := range r.Runs {
		if run.Error != "" {
			out = append(out, fmt.Sprintf("%s on %s, round %d: %s", run.Peer, run.Work.Name, run.Round, run.Error))
		}
	}
	return out
}

func (r *record) write(file string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

func readRecord(file string) (*record, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := new(record)
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return r, nil
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/penstock-io/penstock/loadtest/load"
	"github.com/penstock-io/penstock/loadtest/wire"
)

type benchCmd struct {
	URL           string        `default:"http://127.0.0.1:8080" help:"The server, by http."`
	Work          string        `enum:"R1,R2,R3" default:"R1" help:"Reference work: ${enum}."`
	Devices       int           `help:"Devices, instead of the work's own number."`
	EventsPerPost int           `help:"Events per request, instead of the work's own number. Divides the devices."`
	Connections   int           `help:"Connections, instead of the work's own number."`
	Duration      time.Duration `default:"15s" help:"How long to send."`
	Warmup        time.Duration `default:"0s" help:"The part of the duration that rate and percentiles leave out."`
	Passes        int           `help:"End before the duration has passed, when each device has sent that many events. 0 leaves it to the duration."`
	Rate          float64       `help:"Events per second of an open loop, with latency from the scheduled time. 0 is a closed loop."`
	Format        string        `enum:"penstock,ndjson,influx,vmjson" default:"penstock" help:"Form of the bodies: ${enum}."`
	TargetPath    string        `help:"Path and query, instead of the format's own."`
	Encoding      string        `enum:"none,gzip,zstd" default:"none" help:"Content-Encoding: ${enum}. Compressing costs the generator much."`
	Header        []string      `sep:"none" placeholder:"LINE" help:"A further header line; may be given several times."`
	Timeout       time.Duration `default:"10s" help:"How long to wait for one answer."`
	Seed          uint64        `default:"1" help:"Selects the values."`
	Resend        bool          `help:"Send what was not answered by a 2xx again, unchanged, as devices do."`
	ServerPid     string        `default:"" placeholder:"PID|auto" help:"Measure that process; auto finds the one that listens on the URL's port."`
	Settle        time.Duration `default:"8s" help:"How long to wait before the server's CPU is read again, so that its flushes count. Only with --server-pid or --ops-url."`
	OpsURL        string        `placeholder:"URL" help:"The operator's listener: print the ledger at the end."`
	Record        string        `placeholder:"FILE" help:"Write a line for each acknowledged request."`
	JSON          string        `name:"json" placeholder:"FILE" help:"Write the result as JSON too; - is standard output."`
	Quiet         bool          `short:"q" help:"No progress lines."`
}

// report is the result as it goes into the JSON file.
type report struct {
	Time        time.Time   `json:"time"`
	URL         string      `json:"url"`
	Work        string      `json:"work"`
	Format      wire.Format `json:"format"`
	Encoding    string      `json:"encoding"`
	Devices     int         `json:"devices"`
	PerPost     int         `json:"events_per_post"`
	Connections int         `json:"connections"`
	Rate        float64     `json:"rate"` // 0: closed loop
	*load.Result
	// GeneratorCPU is this process' own, in seconds per million events.
	GeneratorCPU float64       `json:"generator_cpu_s_per_million"`
	Server       *serverReport `json:"server,omitempty"`
	Ledger       *load.Ledger  `json:"ledger,omitempty"` // what the run added
	Balanced     bool          `json:"ledger_balanced"`
}

type serverReport struct {
	PID           int     `json:"pid"`
	CPUSeconds    float64 `json:"cpu_seconds"` // during the run and the settling
	CPUPerMillion float64 `json:"cpu_s_per_million"`
	PeakRSS       int64   `json:"peak_rss_bytes"` // since the process started
}

// Run is called by kong.
func (b *benchCmd) Run(ctx context.Context) (err error) {
	cfg, err := b.config()
	if err != nil {
		return err
	}
	if b.Record != "" {
		f, err := os.Create(b.Record)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		cfg.Record = f
	}
	pid, err := b.pid()
	if err != nil {
		return err
	}
	var before load.Usage
	if pid != 0 {
		if before, err = load.ReadUsage(pid); err != nil {
			return err
		}
	}
	var ledger load.Ledger
	if b.OpsURL != "" {
		if ledger, err = load.ReadLedger(ctx, b.OpsURL); err != nil {
			return err
		}
	}

	cpu := ownCPU()
	res, err := load.Run(ctx, cfg)
	if err != nil {
		return err
	}
	r := report{
		Time: time.Now().UTC(), URL: b.URL, Work: b.Work, Format: cfg.Format, Encoding: b.Encoding,
		Devices: cfg.Devices, PerPost: cfg.EventsPerPost, Connections: cfg.Connections,
		Rate: b.Rate, Result: res,
		GeneratorCPU: perMillion(ownCPU()-cpu, res.TotalEvents),
	}
	if pid != 0 || b.OpsURL != "" {
		select {
		case <-time.After(b.Settle):
		case <-ctx.Done():
		}
	}
	if pid != 0 {
		after, err := load.ReadUsage(pid)
		if err != nil {
			return errors.Join(err, r.print(os.Stdout))
		}
		used := after.CPU - before.CPU
		r.Server = &serverReport{pid, used.Seconds(), perMillion(used, res.TotalEvents), after.PeakRSS}
	}
	if b.OpsURL != "" {
		now, err := load.ReadLedger(context.WithoutCancel(ctx), b.OpsURL)
		if err != nil {
			return errors.Join(err, r.print(os.Stdout))
		}
		added := now.Sub(ledger)
		r.Ledger, r.Balanced = &added, now.Balanced()
	}
	if err := r.print(os.Stdout); err != nil {
		return err
	}
	if err := r.save(b.JSON); err != nil {
		return err
	}
	if res.TotalEvents == 0 {
		return errors.New("no event was acknowledged")
	}
	return nil
}

func (b *benchCmd) config() (load.Config, error) {
	work, err := load.ReferenceWork(b.Work)
	if err != nil {
		return load.Config{}, err
	}
	override := func(dst *int, v int) {
		if v != 0 {
			*dst = v
		}
	}
	override(&work.Devices, b.Devices)
	override(&work.EventsPerPost, b.EventsPerPost)
	override(&work.Connections, b.Connections)
	cfg := load.Config{
		Work: work, URL: strings.TrimSuffix(b.URL, "/") + b.TargetPath, Format: wire.Format(b.Format), Encoding: b.Encoding,
		Header: b.Header, Duration: b.Duration, Warmup: b.Warmup, Passes: b.Passes, Rate: b.Rate,
		Timeout: b.Timeout, Seed: b.Seed, Resend: b.Resend,
	}
	if !b.Quiet {
		cfg.Progress = func(t load.Tick) { fmt.Fprintln(os.Stderr, t) }
	}
	return cfg, nil
}

// pid finds the process to measure; 0 means none.
func (b *benchCmd) pid() (int, error) {
	switch b.ServerPid {
	case "":
		return 0, nil
	case "auto":
		u, err := url.Parse(b.URL)
		if err != nil {
			return 0, err
		}
		port, err := strconv.Atoi(u.Port())
		if err != nil {
			return 0, fmt.Errorf("--server-pid=auto needs a port in the URL: %w", err)
		}
		return load.FindListener(port)
	}
	pid, err := strconv.Atoi(b.ServerPid)
	if err != nil {
		return 0, fmt.Errorf("--server-pid: %w", err)
	}
	return pid, nil
}

// ownCPU is the CPU time of this process, user and system.
func ownCPU() time.Duration {
	var u syscall.Rusage
	// It cannot fail: both arguments are right.
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// perMillion is CPU-seconds per million events.
func perMillion(cpu time.Duration, events uint64) float64 {
	if events == 0 {
		return 0
	}
	return cpu.Seconds() / float64(events) * 1e6
}

func (r *report) print(w io.Writer) error {
	loop := "closed loop"
	if r.Rate > 0 {
		loop = fmt.Sprintf("open loop at %.0f events/s", r.Rate)
	}
	_, err := fmt.Fprintf(w, `
%s: %s, %s, encoding %s, %d devices, %d events per POST, %d connections, %d cores
  rate        %.0f events/s for %.1f s: %d events in %d requests
  latency     p50 %.2f  p90 %.2f  p99 %.2f  p99.9 %.2f  max %.2f ms (%s)
  answers     %s; without an answer %d, rejected events %d, unresolved requests %d
  bytes       %.1f MB sent, %.1f MB received
  generator   %.3f CPU-s per million events
`, r.Work, loop, r.Format, r.Encoding, r.Devices, r.PerPost, r.Connections, runtime.NumCPU(),
		r.EventsPerSecond, r.Seconds, r.Events, r.Posts,
		r.Latency.P50, r.Latency.P90, r.Latency.P99, r.Latency.P999, r.Latency.Max, r.latencyFrom(),
		load.StatusText(r.Statuses), r.Errors, r.Rejected, r.Unresolved,
		float64(r.BytesSent)/1e6, float64(r.BytesReceived)/1e6, r.GeneratorCPU)
	if err == nil && r.Missed > 0 {
		_, err = fmt.Fprintf(w, "  MISSED      %d of %d scheduled requests were never begun; the percentiles know nothing of them\n",
			r.Missed, r.Scheduled)
	}
	if err == nil && r.Server != nil {
		_, err = fmt.Fprintf(w, "  server      %.3f CPU-s per million events (%.2f s, settling included), peak memory %.0f MiB\n",
			r.Server.CPUPerMillion, r.Server.CPUSeconds, float64(r.Server.PeakRSS)/(1<<20))
	}
	if err == nil && r.Ledger != nil {
		l := r.Ledger
		word := "balances"
		if !r.Balanced {
			word = "DOES NOT BALANCE"
		}
		_, err = fmt.Fprintf(w, "  ledger      received %.0f, accepted %.0f, rejected %.0f, duplicate %.0f; stored %.0f, dead-lettered %.0f, in flight %.0f: %s\n",
			l.Received, l.Accepted, l.Rejected, l.Duplicate, l.Stored, l.DeadLettered, l.InFlight, word)
	}
	return err
}

func (r *report) latencyFrom() string {
	if r.Rate > 0 {
		return "from the scheduled time"
	}
	return "from the write"
}

func (r *report) save(file string) error {
	if file == "" {
		return nil
	}
	out, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	out = append(out, '\n')
	if file == "-" {
		_, err = os.Stdout.Write(out)
		return err
	}
	return os.WriteFile(file, out, 0o644)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// peer is a program, or a chain of them, that takes events over HTTP and
// stores their samples.
type peer struct {
	name     string   // in the record and on the command line
	title    string   // in tables
	programs []string // of the chain, the one that devices would talk to first; the last is the store
	format   string   // of fleet bench
	path     string   // where that posts to; empty is the format's own

	// What it does for an event before or after the answer, for the tables.
	durable, validates, enriches string

	// commands are those that it runs in.
	commands []string
	// ledger is set for Penstock, whose own account is held to the generator's.
	ledger bool

	// start starts the chain and returns it with the URL to post to.
	start func(context.Context, *site) (*chain, error)
	// reopen starts the store alone, on what the chain left behind.
	reopen func(context.Context, *site) (*process, string, error)
}

// chain is a peer that runs.
type chain struct {
	processes []*process // in the order of peer.programs
	target    string     // where the generator posts to
	metrics   string     // of the store, or of Penstock, which knows what its store has
}

// site is where a peer runs once.
type site struct {
	options
	dir   string // is removed afterwards
	table string // labels of all devices, as CSV
}

const (
	penstock = "penstock"
	vmInflux = "vm-influx"
	vmJSON   = "vm-json"
	vmagent  = "vmagent"
	telegraf = "telegraf"
	vmLabels = "vm-labels"

	forwarding     = "forward"
	forwardingBare = "forward-bare"
	forwardingZstd = "forward-zstd"
)

// allPeers are in the order of the tables.
var allPeers = []peer{
	{
		name: penstock, title: "**Penstock**, JSON", programs: []string{"penstock"}, format: "penstock",
		durable: "synced before the answer", validates: "each event", enriches: "3 labels per device",
		commands: []string{"compare", "growth"}, ledger: true,
		start: startPenstock, reopen: reopenPenstock,
	},
	{
		name: vmInflux, title: "VictoriaMetrics, Influx lines", programs: []string{"victoria-metrics"}, format: "influx",
		durable: "no", validates: "no", enriches: "no",
		commands: []string{"compare", "growth"},
		start:    startVictoriaMetrics, reopen: reopenVictoriaMetrics,
	},
	{
		name: vmJSON, title: "VictoriaMetrics, its JSON lines", programs: []string{"victoria-metrics"}, format: "vmjson",
		durable: "no", validates: "no", enriches: "no",
		commands: []string{"compare"},
		start:    startVictoriaMetrics, reopen: reopenVictoriaMetrics,
	},
	{
		name: forwarding, title: "**Penstock**, JSON, snappy", programs: []string{"penstock", "victoria-metrics"}, format: "penstock",
		durable: "synced before the answer", validates: "each event", enriches: "3 labels per device",
		commands: []string{"forward"}, ledger: true,
		start: startForwarding("snappy", true), reopen: reopenVictoriaMetrics,
	},
	{
		name: forwardingZstd, title: "**Penstock**, JSON, zstd", programs: []string{"penstock", "victoria-metrics"}, format: "penstock",
		durable: "synced before the answer", validates: "each event", enriches: "3 labels per device",
		commands: []string{"forward"}, ledger: true,
		start: startForwarding("zstd", true), reopen: reopenVictoriaMetrics,
	},
	{
		name: forwardingBare, title: "**Penstock**, JSON, snappy, journal.sync=off and nothing to enrich", programs: []string{"penstock", "victoria-metrics"}, format: "penstock",
		durable: "written, not synced", validates: "each event", enriches: "no",
		commands: []string{"forward"}, ledger: true,
		start: startForwarding("snappy", false), reopen: reopenVictoriaMetrics,
	},
	{
		name: vmagent, title: "vmagent, Influx lines, to VictoriaMetrics", programs: []string{"vmagent", "victoria-metrics"}, format: "influx",
		durable: "no", validates: "no", enriches: "no",
		commands: []string{"compare", "forward"},
		start:    startVmagent, reopen: reopenVictoriaMetrics,
	},
	{
		name: telegraf, title: "Telegraf, JSON, to VictoriaMetrics", programs: []string{"telegraf", "victoria-metrics"}, format: "penstock",
		durable: "no", validates: "no", enriches: "no",
		commands: []string{"compare"},
		start:    startTelegraf, reopen: reopenVictoriaMetrics,
	},
	{
		// As many labels as Penstock's enrichment adds, so that as much has to
		// be indexed of a new series.
		name: vmLabels, title: "VictoriaMetrics, Influx lines, 3 labels more", programs: []string{"victoria-metrics"}, format: "influx",
		path:    "/write?precision=ms&extra_label=site=site-001&extra_label=customer=customer-01&extra_label=model=TX-101",
		durable: "no", validates: "no", enriches: "no",
		commands: []string{"growth"},
		start:    startVictoriaMetrics, reopen: reopenVictoriaMetrics,
	},
}

// binary is where the Makefile puts a program.
func (o options) binary(program string) string {
	if program == "penstock" || program == "fleet" {
		return filepath.Join(o.bin, program)
	}
	return filepath.Join(o.bin, "peers", program)
}

// choose returns the peers of a command to run: those that were asked for, or
// all of which all programs were built. Those that were not are named in missing.
func (o options) choose(command string) (chosen []peer, missing []string, err error) {
	for _, name := range o.peers {
		if !slices.ContainsFunc(allPeers, func(p peer) bool { return p.name == name }) {
			return nil, nil, fmt.Errorf("no such peer: %s", name)
		}
	}
	for _, p := range allPeers {
		if !slices.Contains(p.commands, command) || o.peers != nil && !slices.Contains(o.peers, p.name) {
			continue
		}
		built := true
		for _, program := range p.programs {
			_, err := os.Stat(o.binary(program))
			if errors.Is(err, fs.ErrNotExist) {
				built = false
			} else if err != nil {
				return nil, nil, err
			}
		}
		switch {
		case built:
			chosen = append(chosen, p)
		case o.peers != nil || p.programs[0] == "penstock":
			return nil, nil, fmt.Errorf("%s was not built: make bench-peers builds what it runs", p.name)
		default:
			missing = append(missing, p.name)
		}
	}
	return chosen, missing, nil
}

func (c *chain) kill() {
	for _, p := range c.processes {
		p.kill()
	}
}

func startPenstock(ctx context.Context, s *site) (*chain, error) {
	p, target, ops, err := s.penstock(ctx, "penstock", s.enrichment())
	if err != nil {
		return nil, err
	}
	return &chain{[]*process{p}, target, ops + "/metrics"}, nil
}

func reopenPenstock(ctx context.Context, s *site) (*process, string, error) {
	p, _, ops, err := s.penstock(ctx, "penstock-again", s.enrichment())
	return p, ops, err
}

func startVictoriaMetrics(ctx context.Context, s *site) (*chain, error) {
	p, url, err := s.victoriaMetrics(ctx, "victoria-metrics")
	if err != nil {
		return nil, err
	}
	return &chain{[]*process{p}, url, url + "/metrics"}, nil
}

func reopenVictoriaMetrics(ctx context.Context, s *site) (*process, string, error) {
	return s.victoriaMetrics(ctx, "victoria-metrics-again")
}

// startVmagent forwards by its own protocol, zstd over remote write.
func startVmagent(ctx context.Context, s *site) (*chain, error) {
	return s.before(ctx, func(store string) (*process, string, error) {
		addr, err := freeAddress()
		if err != nil {
			return nil, "", err
		}
		p, err := start(ctx, s.dir, "vmagent", s.binary("vmagent"), "http://"+addr+"/health",
			"-httpListenAddr="+addr, "-influxSkipMeasurement",
			"-remoteWrite.url="+store+"/api/v1/write", "-remoteWrite.tmpDataPath="+filepath.Join(s.dir, "vmagent"))
		return p, "http://" + addr, err
	})
}

// telegrafConfig has larger batches and a hundred times the buffer of the
// defaults, with which it would drop nearly everything at these rates.
const telegrafConfig = `[agent]
  flush_interval = "1s"
  metric_batch_size = 10000
  metric_buffer_limit = 1000000
  omit_hostname = true
  quiet = true
[[inputs.http_listener_v2]]
  service_address = "tcp://%s"
  paths = ["/v1/telemetry"]
  data_format = "json"
  tag_keys = ["device", "tags_fw"]
  json_time_key = "ts"
  json_time_format = "unix_ms"
[[outputs.influxdb]]
  urls = ["%s"]
  skip_database_creation = true
  content_encoding = "identity"
`

func startTelegraf(ctx context.Context, s *site) (*chain, error) {
	return s.before(ctx, func(store string) (*process, string, error) {
		addr, err := freeAddress()
		if err != nil {
			return nil, "", err
		}
		file := filepath.Join(s.dir, "telegraf.conf")
		if err := os.WriteFile(file, fmt.Appendf(nil, telegrafConfig, addr, store), 0o644); err != nil {
			return nil, "", err
		}
		p, err := start(ctx, s.dir, "telegraf", s.binary("telegraf"), "http://"+addr, "--config", file)
		return p, "http://" + addr, err
	})
}

// before starts a store and what stands before it.
func (s *site) before(ctx context.Context, front func(store string) (*process, string, error)) (*chain, error) {
	c, err := startVictoriaMetrics(ctx, s)
	if err != nil {
		return nil, err
	}
	p, target, err := front(c.target)
	if err != nil {
		c.kill()
		return nil, err
	}
	return &chain{append([]*process{p}, c.processes...), target, c.metrics}, nil
}

// forwardConfig has a sink and no store.
const forwardConfig = `store:
  enabled: false
sinks:
  - name: central
    type: remote_write
    remote_write:
      url: %s/api/v1/write
      compression: %s
`

// startForwarding forwards by remote write, with a full set of promises or
// without those that vmagent does not make.
func startForwarding(compression string, full bool) func(context.Context, *site) (*chain, error) {
	return func(ctx context.Context, s *site) (*chain, error) {
		metrics := ""
		c, err := s.before(ctx, func(store string) (*process, string, error) {
			config := fmt.Sprintf(forwardConfig, store, compression)
			if full {
				config += s.enrichment()
			} else {
				config += "journal:\n  sync: \"off\"\n"
			}
			p, target, ops, err := s.penstock(ctx, "penstock", config)
			metrics = ops + "/metrics"
			return p, target, err
		})
		if err != nil {
			return nil, err
		}
		c.metrics = metrics
		return c, nil
	}
}

// enrichment is the section of Penstock's configuration that names the table.
func (s *site) enrichment() string {
	return fmt.Sprintf("enrichment:\n  sources:\n    - path: %s\n", s.table)
}

func (s *site) penstock(ctx context.Context, name, text string) (p *process, devices, ops string, err error) {
	var addr [2]string
	for i := range addr {
		if addr[i], err = freeAddress(); err != nil {
			return nil, "", "", err
		}
	}
	config := filepath.Join(s.dir, "penstock.yaml")
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, "", "", err
	}
	args := []string{"serve", "--listen", addr[0], "--ops-listen", addr[1], "--data-dir", filepath.Join(s.dir, "penstock"), "--config", config}
	for _, set := range s.settings {
		args = append(args, "--set", set)
	}
	devices, ops = "http://"+addr[0], "http://"+addr[1]
	p, err = start(ctx, s.dir, name, s.binary("penstock"), ops+"/readyz", args...)
	return p, devices, ops, err
}

func (s *site) victoriaMetrics(ctx context.Context, name string) (p *process, url string, err error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, "", err
	}
	url = "http://" + addr
	p, err = start(ctx, s.dir, name, s.binary("victoria-metrics"), url+"/health",
		"-httpListenAddr="+addr, "-storageDataPath="+filepath.Join(s.dir, "victoria-metrics"), "-influxSkipMeasurement")
	return p, url, err
}

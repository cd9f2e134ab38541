// Package config puts the settings of all components together and fills them
// from four layers, each over the one before: defaults, a YAML file,
// environment variables, flags.
//
// The components own their Config structs; this package only aggregates and
// fills them. Everything it knows about a setting it reads off the struct
// field: `yaml` gives the key, `help` and `unit` the reference, `default` the
// value of a new list element, `secret:"true"` hides the value from print,
// `when` names the value of the key `type` beside it with which it counts.
//
// The file is mapped by a walk over goccy/go-yaml's syntax tree rather than by
// a decoder, because the decoders at hand stop at the first fault or lose the
// line that it stands in, and here every fault of all layers is reported at
// once, with its place.
package config

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/penstock-io/penstock/enrich"
	"github.com/penstock-io/penstock/ingest"
	"github.com/penstock-io/penstock/ingest/decode"
	"github.com/penstock-io/penstock/ingest/dialect/influx"
	"github.com/penstock-io/penstock/ingest/dialect/otlp"
	"github.com/penstock-io/penstock/ingest/dialect/promwrite"
	"github.com/penstock-io/penstock/ingest/httpapi"
	"github.com/penstock-io/penstock/ingest/journal"
	"github.com/penstock-io/penstock/sink/deadletter"
	"github.com/penstock-io/penstock/sink/delivery"
	"github.com/penstock-io/penstock/sink/embedded"
)

// Config holds every setting of `penstock serve`. Its top-level struct fields
// are the sections of the file.
type Config struct {
	// Listen is the address of the devices' listener. Port 0 picks a free one.
	Listen string `yaml:"listen" default:"127.0.0.1:8080" help:"Address of the devices' listener, host:port. An empty host listens on all interfaces; port 0 picks a free port."`

	// OpsListen is the address of the operator's listener. Whoever reaches it
	// can read everything that is stored.
	OpsListen string `yaml:"ops_listen" default:"127.0.0.1:8081" help:"Address of the operator's listener (metrics, health, queries, vmui, profiles), host:port. It has no authentication: keep it on loopback or behind a proxy."`

	// DataDir holds everything that survives a restart. It is created if it
	// is missing.
	DataDir string `yaml:"data_dir" default:"./penstock-data" help:"Directory of everything that survives a restart. Created if missing."`

	// ShutdownTimeout bounds a graceful shutdown. What is not done by then is
	// counted and, where there is a journal, stays in it.
	ShutdownTimeout time.Duration `yaml:"shutdown_timeout" default:"30s" help:"Longest time that a graceful shutdown may take. What is not delivered by then is counted and logged."`

	// DrainDelay is how long a shutdown waits before the devices' listener
	// drains; 0 is not at all. It comes before ShutdownTimeout begins.
	DrainDelay time.Duration `yaml:"drain_delay" default:"0s" help:"How long devices are still served after SIGTERM while /readyz answers 503, so that a load balancer sees it and sends them elsewhere. It comes before shutdown_timeout begins. 0 drains at once."`

	Log Log `yaml:"log" help:"The program's own log, on standard error."`

	HTTP        httpapi.Config    `yaml:"http" help:"The devices' listener: limits on connections and requests."`
	Limits      decode.Config     `yaml:"limits" help:"What an event may look like."`
	Dialects    Dialects          `yaml:"dialects" help:"The wire forms of other systems that the devices' listener takes."`
	Journal     journal.Config    `yaml:"journal" help:"What makes an acknowledgement durable: the log on disk that every accepted event goes through."`
	Pool        ingest.Config     `yaml:"pool" help:"The workers between the journal and the sinks."`
	Enrichment  enrich.Config     `yaml:"enrichment" help:"Labels that are added to events by their device."`
	Store       Store             `yaml:"store" help:"The store in the process: VictoriaMetrics' engine."`
	Delivery    delivery.Config   `yaml:"delivery" help:"Batching and retries on the way into the embedded store. Sinks have such a section each."`
	DeadLetters deadletter.Config `yaml:"dead_letters" help:"What a store refuses for ever: it is kept on disk, for each sink in a directory of its own."`
	Sinks       []Sink            `yaml:"sinks" help:"Stores beside the embedded one, or instead of it. Each gets every event, has its own position in the journal, and holds back no other. They can be added, changed and removed while the service runs."`
}

// Log says how much is logged and in which form.
type Log struct {
	// Level is debug, info, warn or error.
	Level string `yaml:"level" default:"info" help:"Least severity that is logged: debug, info, warn or error."`

	// Format is text or json.
	Format string `yaml:"format" default:"text" help:"Form of a log line: text (key=value) or json."`
}

// Default returns the configuration of a bare `penstock serve`.
func Default() Config {
	return Config{
		Listen:          "127.0.0.1:8080",
		OpsListen:       "127.0.0.1:8081",
		DataDir:         "./penstock-data",
		ShutdownTimeout: 30 * time.Second,
		Log:             Log{Level: "info", Format: "text"},

		HTTP:        httpapi.DefaultConfig(),
		Limits:      decode.DefaultConfig(),
		Dialects:    Dialects{Influx: influx.DefaultConfig(), Prometheus: promwrite.DefaultConfig(), OTLP: otlp.DefaultConfig()},
		Journal:     journal.DefaultConfig(),
		Pool:        ingest.DefaultConfig(),
		Enrichment:  enrich.DefaultConfig(),
		Delivery:    delivery.DefaultConfig(),
		Store:       Store{Enabled: true, Config: embedded.DefaultConfig()},
		DeadLetters: deadletter.DefaultConfig(),
	}
}

// maxFuture is how far ahead of the clock VictoriaMetrics' engine takes
// samples (its -futureRetention); what is beyond it drops without a word.
const maxFuture = 48 * time.Hour

// Validate reports all faults of all sections, joined. Each names its key by
// the full path.
func (c Config) Validate() error {
	var errs []error
	errs = append(errs,
		checkAddress("listen", c.Listen),
		checkAddress("ops_listen", c.OpsListen),
	)
	if _, port, err := net.SplitHostPort(c.Listen); err == nil && port != "0" && c.Listen == c.OpsListen {
		errs = append(errs, fmt.Errorf("ops_listen: must differ from listen, both are %s", c.Listen))
	}
	if c.DataDir == "" {
		errs = append(errs, errors.New("data_dir: must name a directory"))
	}
	if c.ShutdownTimeout <= 0 {
		errs = append(errs, fmt.Errorf("shutdown_timeout: must be more than 0, got %s", c.ShutdownTimeout))
	}
	if c.DrainDelay < 0 {
		errs = append(errs, fmt.Errorf("drain_delay: must not be negative, got %s", c.DrainDelay))
	}
	if c.Limits.MaxFuture > maxFuture {
		errs = append(errs, fmt.Errorf("limits.max_future: must be at most %s, because the store takes nothing further ahead, got %s", maxFuture, c.Limits.MaxFuture))
	}
	for _, s := range sections(c) {
		errs = append(errs, prefixed(s.name+".", s.Validate()))
	}
	errs = append(errs, c.validateSinks())
	return errors.Join(errs...)
}

// Validate reports what is wrong with the log's settings.
func (l Log) Validate() error {
	var errs []error
	switch l.Level {
	case "debug", "info", "warn", "error":
	default:
		errs = append(errs, fmt.Errorf("level: must be debug, info, warn or error, got %q", l.Level))
	}
	switch l.Format {
	case "text", "json":
	default:
		errs = append(errs, fmt.Errorf("format: must be text or json, got %q", l.Format))
	}
	return errors.Join(errs...)
}

func checkAddress(key, addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%s: must be host:port such as 127.0.0.1:8080, got %q", key, addr)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%s: port must be a number from 0 to 65535, got %q", key, port)
	}
	return nil
}

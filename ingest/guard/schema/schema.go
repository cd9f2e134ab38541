// Package schema holds values to what a schema says of their metric: type,
// range, list of values, monotonicity, largest step, tags that must be there.
//
// A Definition is compiled when it is loaded; checking a value allocates
// nothing. Begin reading at Screen.
//
// Monotonic and MaxStep compare with the value before in the same series. For
// Config.MaxSeries of these the last value is kept, see lastReadings.
package schema

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/filewatch"
	"github.com/penstock-io/penstock/internal/settings"
)

// Config says where the schema is.
type Config struct {
	File      string        `yaml:"file" default:"" help:"Schema file (YAML): what the values of each metric may be. It is read again when it changes; one with a fault is refused whole, and the old one stays. Empty is no schema."`
	Poll      time.Duration `yaml:"poll" default:"10s" min:"1s" max:"1h" help:"How often to look whether the file has changed where the file system does not say so."`
	MaxSeries int           `yaml:"max_series" default:"200000" min:"1" max:"100000000" help:"Series whose last value is kept for monotonic and max_step, at 40 bytes each, rounded up to a power of two. The next value of one that was forgotten is not compared."`
}

// DefaultConfig returns the settings that serve without a configuration.
func DefaultConfig() Config { return settings.Default[Config]() }

// maxFile bounds a schema file, in bytes.
const maxFile = 8 << 20

// Parser reads a definition from the text of a file and checks it.
type Parser func(text []byte) (*Definition, error)

// Schema is an ingest.Screener.
type Schema struct {
	cfg   Config
	parse Parser
	log   *slog.Logger

	current atomic.Pointer[compiled]
	last    *lastReadings         // nil until a rule needs it; set before current is
	fault   atomic.Pointer[error] // of the file as it is, nil if it is in effect

	text []byte // of the file as it was read last; Run's

	violations map[Mode]*[16]*metrics.Counter // by code, from firstCode
	loads      [2]*metrics.Counter
}

const firstCode = event.SchemaType

// codes are those that a schema can reject an event with.
var codes = []event.Code{
	event.SchemaType, event.SchemaRange, event.SchemaEnum, event.SchemaMonotonic, event.SchemaStep, event.SchemaTag,
}

// New returns a schema of what the file says. A file with a fault is an error.
func New(cfg Config, parse Parser, log *slog.Logger, set *metrics.Set) (*Schema, error) {
	s := newSchema(cfg, log, set)
	s.parse = parse
	text, err := read(cfg.File)
	if err == nil {
		err = s.load(text)
	}
	if err != nil {
		return nil, fmt.Errorf("schema file %s: %w", cfg.File, err)
	}
	return s, nil
}

// Of returns a schema of d, which has passed Check. It is never read again.
func Of(d *Definition, cfg Config, set *metrics.Set) *Schema {
	s := newSchema(cfg, nil, set)
	s.use(d)
	return s
}

func newSchema(cfg Config, log *slog.Logger, set *metrics.Set) *Schema {
	s := &Schema{cfg: cfg, log: log, violations: map[Mode]*[16]*metrics.Counter{}}
	s.loads[0] = set.NewCounter(`penstock_schema_loads_total{result="ok"}`)
	s.loads[1] = set.NewCounter(`penstock_schema_loads_total{result="error"}`)
	for _, mode := range []Mode{Observe, DropValue, Reject} {
		var counters [16]*metrics.Counter
		for _, code := range codes {
			counters[code-firstCode] = set.NewCounter(fmt.Sprintf("penstock_schema_violations_total{mode=%q,code=%q}", mode, code))
		}
		s.violations[mode] = &counters
	}
	set.NewGauge("penstock_schema_rules", func() float64 {
		if c := s.current.Load(); c != nil {
			return float64(len(c.rules))
		}
		return 0
	})
	return s
}

// use puts d into effect. What is known of last values stays.
func (s *Schema) use(d *Definition) {
	c := compile(d)
	for i := range c.rules {
		if c.rules[i].last && s.last == nil {
			s.last = newLastReadings(s.cfg.MaxSeries)
		}
	}
	s.current.Store(c)
}

func (s *Schema) count(mode Mode, code event.Code) { s.violations[mode][code-firstCode].Inc() }

func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("it is larger than %d bytes", maxFile)
	}
	return os.ReadFile(path)
}

// load puts a definition into effect, or leaves the old one.
func (s *Schema) load(text []byte) error {
	d, err := s.parse(text)
	if err != nil {
		s.loads[1].Inc()
		return err
	}
	s.text = text
	s.use(d)
	s.loads[0].Inc()
	return nil
}

// Run reads the file again when it changes, until ctx is done.
func (s *Schema) Run(ctx context.Context) {
	refused := []byte(nil)
	filewatch.File{Path: s.cfg.File, Quiet: 50 * time.Millisecond, Poll: s.cfg.Poll, Look: func() {
		text, err := read(s.cfg.File)
		if err == nil && bytes.Equal(text, s.text) {
			s.fault.Store(nil)
			return
		}
		if err == nil && refused != nil && bytes.Equal(text, refused) {
			return
		}
		if err == nil {
			if err = s.load(text); err == nil {
				s.log.Info("the schema is in effect", "file", s.cfg.File, "rules", len(s.current.Load().rules))
				s.fault.Store(nil)
				refused = nil
				return
			}
			refused = text
		}
		if before := s.fault.Load(); before == nil || (*before).Error() != err.Error() {
			s.log.Error("cannot load the schema; the one before stays in effect", "file", s.cfg.File, "error", err)
		}
		s.fault.Store(&err)
	}}.Run(ctx, s.log)
}

// Err returns why the file as it is now is not in effect, or nil.
func (s *Schema) Err() error {
	if err := s.fault.Load(); err != nil {
		return *err
	}
	return nil
}

// Version counts the definitions that have been in effect.
func (s *Schema) Version() uint64 { return s.loads[0].Get() }

// Unit is what the query API tells of a metric.
type Unit struct {
	Metric     string
	Counter    bool // it never falls
	Unit, Help string
}

// Units lists the metrics that the schema names in full, with what it says of
// them. Patterns are left out: what they fit is known only when it is sent.
func (s *Schema) Units() []Unit {
	var all []Unit
	seen := map[string]bool{}
	rules := s.current.Load().rules
	for i := range rules {
		r := &rules[i]
		if seen[r.Name] || strings.ContainsAny(r.Name, "*?") || r.Unit == "" && r.Help == "" {
			continue
		}
		seen[r.Name] = true
		all = append(all, Unit{r.Name, r.Monotonic, r.Unit, r.Help})
	}
	return all
}

package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/penstock-io/penstock/sink/delivery"
	"github.com/penstock-io/penstock/sink/delivery/filter"
	"github.com/penstock-io/penstock/sink/embedded"
	"github.com/penstock-io/penstock/sink/file"
	"github.com/penstock-io/penstock/sink/influx"
	"github.com/penstock-io/penstock/sink/postgres"
	"github.com/penstock-io/penstock/sink/remotewrite"
)

// EmbeddedSink is the name of the sink that writes to the embedded store, and
// its type. No other sink may have it.
const EmbeddedSink = "embedded"

// The types of sinks, and the names of their sections.
const (
	TypeRemoteWrite = "remote_write"
	TypeInflux      = "influx"
	TypePostgres    = "postgres"
	TypeFile        = "file"
)

// maxSinks bounds the sinks, each of which takes memory of its own.
const maxSinks = 32

// Where a new sink begins.
const (
	FromNow    = "now"
	FromOldest = "oldest"
)

// Store says whether the embedded store is used, and how.
type Store struct {
	// Enabled may be false where there are other sinks.
	Enabled bool `yaml:"enabled" default:"true" help:"Whether events go to the embedded store. Without it there must be sinks, the query API and vmui answer 501, and what the journal still holds for the store is given up."`

	embedded.Config
}

// Sink is an element of `sinks`: a store beside the embedded one. Its zero
// value is not usable; SetDefaults fills it.
type Sink struct {
	// Name is how the sink is known, in the journal as well.
	Name string `yaml:"name" help:"Name in metrics, in /readyz and of the position in the journal: a lower-case letter, then lower-case letters, digits, - and _, at most 32. A sink of another name is another sink, which begins anew."`

	// Type chooses one of the sections below.
	Type string `yaml:"type" help:"What the store speaks: remote_write, influx, postgres or file. The section of that name has its settings."`

	// From is now or oldest.
	From string `yaml:"from" default:"now" help:"Where a sink that is new begins: now, or oldest, with everything that the journal still holds for other sinks. It has no meaning for a sink that has been there before."`

	Filter   filter.Filter   `yaml:"filter" help:"Which events the sink gets. Everything, if nothing is set."`
	Delivery delivery.Config `yaml:"delivery" help:"Batching and retries on the way into this store."`

	RemoteWrite remotewrite.Config `yaml:"remote_write" when:"remote_write" help:"Prometheus remote write: VictoriaMetrics, Prometheus, Mimir, Thanos, Cortex."`
	Influx      influx.Config      `yaml:"influx" when:"influx" help:"InfluxDB's line protocol: InfluxDB 1 to 3, QuestDB, VictoriaMetrics."`
	Postgres    postgres.Config    `yaml:"postgres" when:"postgres" help:"PostgreSQL, with or without TimescaleDB."`
	File        file.Config        `yaml:"file" when:"file" help:"NDJSON, one event per line, rotated and compressed."`
}

// SetDefaults gives the sink the settings that its type has by default. Only
// the type stays as it was.
func (s *Sink) SetDefaults() {
	*s = Sink{
		Type:        s.Type,
		From:        FromNow,
		Delivery:    delivery.DefaultRemoteConfig(),
		RemoteWrite: remotewrite.DefaultConfig(),
		Influx:      influx.DefaultConfig(),
		Postgres:    postgres.DefaultConfig(),
		File:        file.DefaultConfig(),
	}
	switch s.Type {
	case TypeRemoteWrite:
		// Labels are sent once per series and write, and a request has a bound
		// of its own.
		s.Delivery.BatchBytes = 16 << 20
		s.Delivery.MemoryBytes = 64 << 20
		s.Delivery.MaxEvents = 0
	case TypePostgres:
		s.Delivery.Hold = 0 // what is committed is safe
	case TypeFile:
		s.Delivery.Hold = 0 // and so is what is synced
		s.Delivery.Writers = 1
		s.Delivery.CircuitFailures = 0
	}
}

// Destination tells a person where the sink's events go, without secrets.
func (s Sink) Destination() string {
	switch s.Type {
	case TypeRemoteWrite:
		return withoutQuery(s.RemoteWrite.URL)
	case TypeInflux:
		return withoutQuery(s.Influx.URL)
	case TypePostgres:
		return "table " + s.Postgres.Schema + "." + s.Postgres.Table
	case TypeFile:
		return s.File.Path
	}
	return ""
}

// withoutQuery returns the URL without what may hold a token.
func withoutQuery(address string) string {
	before, _, _ := strings.Cut(address, "?")
	return before
}

// SinkTypes are the types that a sink may have, which are the names of their
// sections.
func SinkTypes() []string {
	var types []string
	for _, f := range fields(reflect.TypeFor[Sink]()) {
		if f.when != "" {
			types = append(types, f.when)
		}
	}
	return types
}

var sinkName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

// Validate reports what is wrong with the sink's settings.
func (s Sink) Validate() error {
	var errs []error
	switch {
	case !sinkName.MatchString(s.Name):
		errs = append(errs, fmt.Errorf("name: must be a lower-case letter, then lower-case letters, digits, - and _, at most 32 together, got %q", s.Name))
	case s.Name == EmbeddedSink:
		errs = append(errs, fmt.Errorf("name: %s is the name of the embedded store's sink", s.Name))
	}
	if types := SinkTypes(); !slices.Contains(types, s.Type) {
		errs = append(errs, fmt.Errorf("type: must be %s, got %q", either(types), s.Type))
	}
	if s.From != FromNow && s.From != FromOldest {
		errs = append(errs, fmt.Errorf("from: must be %s or %s, got %q", FromNow, FromOldest, s.From))
	}
	v := reflect.ValueOf(s)
	for _, f := range fields(v.Type()) {
		if part, ok := v.FieldByIndex(f.index).Interface().(validate); ok && (f.when == "" || f.when == s.Type) {
			errs = append(errs, prefixed(f.name+".", part.Validate()))
		}
	}
	return errors.Join(errs...)
}

// validateSinks reports what is wrong with the sinks, each and together.
func (c Config) validateSinks() error {
	var errs []error
	if !c.Store.Enabled && len(c.Sinks) == 0 {
		errs = append(errs, errors.New("store.enabled: must be true where there are no sinks, or events would go nowhere"))
	}
	if len(c.Sinks) > maxSinks {
		errs = append(errs, fmt.Errorf("sinks: must be at most %d, got %d", maxSinks, len(c.Sinks)))
	}
	first, written := map[string]int{}, map[string]int{}
	for i, s := range c.Sinks {
		at := fmt.Sprintf("sinks[%d].", i)
		errs = append(errs, prefixed(at, s.Validate()))
		if j, twice := first[s.Name]; twice && s.Name != "" {
			errs = append(errs, fmt.Errorf("%sname: sinks[%d] has the name %s already", at, j, s.Name))
		} else {
			first[s.Name] = i
		}
		if s.Type != TypeFile || s.File.Path == "" {
			continue
		}
		path := filepath.Clean(s.File.Path)
		if j, twice := written[path]; twice {
			errs = append(errs, fmt.Errorf("%sfile.path: sinks[%d] writes to %s already", at, j, s.File.Path))
		} else {
			written[path] = i
		}
	}
	return errors.Join(errs...)
}

// prefixed puts a path before the keys that the errors joined in err begin
// with.
func prefixed(path string, err error) error {
	var errs []error
	for _, e := range flatten(err) {
		if key, problem := cutKey(e); key != "" {
			e = fmt.Errorf("%s%s: %s", path, key, problem)
		} else {
			e = fmt.Errorf("%s: %w", strings.TrimSuffix(path, "."), e)
		}
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}

// either lists the words as people do.
func either(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

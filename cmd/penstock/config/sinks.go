package config

import (
	"path/filepath"
	"strings"

	"github.com/penstock-io/penstock/internal/settings"
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
	Enabled bool `yaml:"enabled" default:"true" help:"Whether events go to the embedded store. Without it there must be sinks, the query API and vmui answer 501, and the journal keeps what it still holds for the store until penstock sink forget embedded, or until it would otherwise be full."`

	embedded.Config
}

// Sink is an element of `sinks`: a store beside the embedded one. Its zero
// value is not usable; SetDefaults fills it.
type Sink struct {
	// Name is how the sink is known, in the journal as well.
	Name string `yaml:"name" match:"[a-z][a-z0-9_-]{0,31}" help:"Name in metrics, in /readyz and of the position in the journal: a lower-case letter, then lower-case letters, digits, - and _, at most 32. A sink of another name is another sink, which begins anew. What the journal holds for one that is taken out stays until penstock sink forget NAME, or until the journal would otherwise be full."`

	// Type chooses one of the sections below.
	Type string `yaml:"type" oneof:"remote_write,influx,postgres,file" help:"What the store speaks: remote_write, influx, postgres or file. The section of that name has its settings."`

	// From is now or oldest.
	From string `yaml:"from" default:"now" oneof:"now,oldest" help:"Where a sink that is new begins: now, or oldest, with everything that the journal still holds for other sinks. A sink that was there before, and has not been forgotten, goes on where it was."`

	Filter   filter.Filter   `yaml:"filter" help:"Which events the sink gets. Everything, if nothing is set."`
	Delivery delivery.Config `yaml:"delivery" help:"Batching and retries on the way into this store."`

	RemoteWrite remotewrite.Config `yaml:"remote_write" when:"remote_write" help:"Prometheus remote write: VictoriaMetrics, Prometheus, Mimir, Thanos, Cortex."`
	Influx      influx.Config      `yaml:"influx" when:"influx" help:"InfluxDB's line protocol: InfluxDB 1 to 3, QuestDB, VictoriaMetrics."`
	Postgres    postgres.Config    `yaml:"postgres" when:"postgres" help:"PostgreSQL, with or without TimescaleDB."`
	File        file.Config        `yaml:"file" when:"file" help:"NDJSON, one event per line, rotated and compressed."`
}

// SetDefaults is a settings.Defaulter: delivery depends on the type.
func (s *Sink) SetDefaults() {
	s.Delivery = delivery.DefaultRemoteConfig()
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

// Check notes what no tag says.
func (s Sink) Check(f *settings.Faults) {
	if s.Name == EmbeddedSink {
		f.Add("name", "%s is the name of the embedded store's sink", s.Name)
	}
}

// checkSinks notes what is wrong with the sinks together.
func (c Config) checkSinks(f *settings.Faults) {
	if !c.Store.Enabled && len(c.Sinks) == 0 {
		f.Add("store.enabled", "must be true where there are no sinks, or events would go nowhere")
	}
	if len(c.Sinks) > maxSinks {
		f.Add("sinks", "must be at most %d, got %d", maxSinks, len(c.Sinks))
	}
	first, written := map[string]int{}, map[string]int{}
	for i, s := range c.Sinks {
		at := settings.Item("sinks", i)
		if j, twice := first[s.Name]; twice && s.Name != "" {
			f.Add(at+".name", "sinks[%d] has the name %s already", j, s.Name)
		} else {
			first[s.Name] = i
		}
		if s.Type != TypeFile || s.File.Path == "" {
			continue
		}
		path := filepath.Clean(s.File.Path)
		if j, twice := written[path]; twice {
			f.Add(at+".file.path", "sinks[%d] writes to %s already", j, s.File.Path)
		} else {
			written[path] = i
		}
	}
}

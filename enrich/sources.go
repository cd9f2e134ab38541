package enrich

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/penstock-io/penstock/enrich/row"
	"github.com/penstock-io/penstock/enrich/source/http"
	"github.com/penstock-io/penstock/enrich/source/postgres"
	"github.com/penstock-io/penstock/internal/settings"
)

// The types of sources.
const (
	typeFile     = "file"
	typePostgres = "postgres"
	typeHTTP     = "http"
)

// nameOverrides names the layer of labels that were set over the API, so no
// source may be called that.
const nameOverrides = "overrides"

// Check notes what no tag says.
func (s Source) Check(f *settings.Faults) {
	switch s.kind() {
	case typeFile:
		if s.Path == "" {
			f.Add("path", "must be set")
		}
		if _, err := s.format(); err != nil && s.Path != "" {
			f.Add("format", "%s", err)
		}
	case typePostgres:
		if c := s.deviceColumn(); c == s.Postgres.ChangeColumn || c == s.Postgres.DeletedColumn {
			f.Add("device_column", "%q is another column's name, too", c)
		}
		if s.Format != "" {
			f.Add("format", "a database has none")
		}
	}
	if s.kind() != typeFile {
		if s.Path != "" {
			f.Add("path", "is for type file, and the type is %s", s.kind())
		}
		if s.Name == "" {
			f.Add("name", "must be set")
		}
	}
	if s.Name == nameOverrides {
		f.Add("name", "%q is the name of what is set over the API", s.Name)
	}
}

// checkTwins notes sources with the path or the name of an earlier one.
func checkTwins(f *settings.Faults, sources []Source) {
	paths, names := map[string]int{}, map[string]int{}
	note := func(seen map[string]int, value string, i int, key, text string) {
		if text == "" {
			return
		}
		if first, twice := seen[value]; twice {
			f.Add(settings.Join(settings.Item("sources", i), key), "%q is sources[%d] already", text, first)
		} else {
			seen[value] = i
		}
	}
	for i, s := range sources {
		if s.kind() == typeFile {
			note(paths, filepath.Clean(s.Path), i, "path", s.Path)
		}
		note(names, s.Name, i, "name", s.Name)
	}
}

func (s Source) kind() string {
	if s.Type == "" {
		return typeFile
	}
	return s.Type
}

// format returns one of row.CSV, row.JSON and row.NDJSON.
func (s Source) format() (string, error) {
	if s.Format != "" {
		return s.Format, nil
	}
	if format := row.FormatOf(s.Path); format != "" {
		return format, nil
	}
	return "", fmt.Errorf("must be set: the extension %q of %q does not say it", strings.ToLower(filepath.Ext(s.Path)), s.Path)
}

func (s Source) deviceColumn() string {
	if s.DeviceColumn == "" {
		return defaultDeviceColumn
	}
	return s.DeviceColumn
}

// LookupConfig says how devices are looked up that are in no source.
type LookupConfig struct {
	// Type is postgres or http; empty means that nothing is looked up.
	Type string `yaml:"type" oneof:"postgres,http" zero:"nowhere" help:"Where devices are looked up that are in no source. Empty: nowhere. Their events are not held up: they are stored without labels until the answer is there."`

	DeviceColumn string `yaml:"device_column" default:"device" help:"Column or JSON member that is not a label, if it is there, because it is the device's name."`

	TTL         time.Duration `yaml:"ttl" default:"10m" min:"10ms" max:"30d" help:"How long an answer holds. Then the device is looked up again, and has its old labels until the new ones are there."`
	NegativeTTL time.Duration `yaml:"negative_ttl" default:"1m" min:"10ms" max:"30d" help:"How long the answer holds that nobody knows a device."`
	ErrorTTL    time.Duration `yaml:"error_ttl" default:"5s" min:"10ms" max:"30d" help:"How long a device is left alone after a lookup that failed."`

	MaxEntries  int `yaml:"max_entries" default:"100000" min:"1" max:"10000000" help:"Number of answers that are remembered. The oldest go first."`
	MaxInFlight int `yaml:"max_in_flight" default:"8" min:"1" max:"256" help:"Number of lookups that run at the same time."`
	Queue       int `yaml:"queue" default:"1024" min:"1" max:"1000000" help:"Number of devices that may wait for their lookup. More are dropped and counted, and asked for at their next event."`

	Timeout time.Duration `yaml:"timeout" default:"5s" min:"10ms" max:"30d" help:"Longest time for one lookup."`

	Postgres postgres.LookupConfig `yaml:"postgres" when:"postgres" help:"With type postgres."`
	HTTP     http.LookupConfig     `yaml:"http" when:"http" help:"With type http."`
}

// Check notes what no tag says.
func (c LookupConfig) Check(f *settings.Faults) {
	if c.Type == "" && (c.HTTP.URL != "" || c.Postgres.Query != "") {
		f.Add("type", "must be set beside what is to be asked: postgres or http")
	}
}

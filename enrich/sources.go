package enrich

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/penstock-io/penstock/enrich/row"
	"github.com/penstock-io/penstock/enrich/source/http"
	"github.com/penstock-io/penstock/enrich/source/postgres"
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

var sourceName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

// checkSources lists what is wrong with the sources, each as "key: problem".
func checkSources(sources []Source) []string {
	var faults []string
	fault := func(i int, format string, args ...any) {
		faults = append(faults, fmt.Sprintf("sources[%d].", i)+fmt.Sprintf(format, args...))
	}
	paths, names := map[string]int{}, map[string]int{}
	for i, s := range sources {
		switch s.kind() {
		case typeFile:
			if s.Path == "" {
				fault(i, "path: must be set")
			} else if first, ok := paths[filepath.Clean(s.Path)]; ok {
				fault(i, "path: %q is sources[%d] already", s.Path, first)
			} else {
				paths[filepath.Clean(s.Path)] = i
			}
			if _, err := s.format(); err != nil && (s.Path != "" || s.Format != "") {
				fault(i, "format: %v", err)
			}
			if !isZeroPostgres(s.Postgres) {
				fault(i, "postgres: is for type postgres, and the type is file")
			}
			if s.HTTP.URL != "" {
				fault(i, "http: is for type http, and the type is file")
			}
		case typePostgres:
			faults = append(faults, under(fmt.Sprintf("sources[%d].postgres.", i), s.Postgres.Validate())...)
			if c := s.deviceColumn(); c == s.Postgres.ChangeColumn || c == s.Postgres.DeletedColumn {
				fault(i, "device_column: %q is another column's name, too", c)
			}
			if s.Format != "" {
				fault(i, "format: a database has none")
			}
		case typeHTTP:
			faults = append(faults, under(fmt.Sprintf("sources[%d].http.", i), s.HTTP.Validate())...)
			if s.Format != "" {
				if _, err := s.format(); err != nil {
					fault(i, "format: %v", err)
				}
			}
		default:
			fault(i, "type: must be file, postgres or http, got %q", s.Type)
			continue
		}
		if s.kind() != typeFile && s.Path != "" {
			fault(i, "path: is for type file, and the type is %s", s.kind())
		}
		switch first, ok := names[s.Name]; {
		case s.Name == "":
			if s.kind() != typeFile {
				fault(i, "name: must be set")
			}
		case !sourceName.MatchString(s.Name):
			fault(i, "name: must be lower-case letters, digits, - and _, at most 32, got %.64q", s.Name)
		case s.Name == nameOverrides:
			fault(i, "name: %q is the name of what is set over the API", s.Name)
		case ok:
			fault(i, "name: %q is sources[%d] already", s.Name, first)
		default:
			names[s.Name] = i
		}
	}
	return faults
}

// under lists the faults of a section, their keys below path.
func under(path string, err error) []string {
	if err == nil {
		return nil
	}
	faults := strings.Split(err.Error(), "\n")
	for i := range faults {
		faults[i] = path + faults[i]
	}
	return faults
}

// isZeroPostgres reports whether nobody has set anything that matters.
func isZeroPostgres(c postgres.Config) bool {
	return c.DSN == "" && c.DSNFile == "" && c.Query == "" && c.Listen == "" && c.ChangeColumn == ""
}

// SetDefaults makes s what a new source of its type is.
func (s *Source) SetDefaults() {
	*s = Source{
		Type:         s.kind(),
		DeviceColumn: defaultDeviceColumn,
		Postgres:     postgres.DefaultConfig(),
		HTTP:         http.DefaultConfig(),
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
	switch s.Format {
	case row.CSV, row.JSON, row.NDJSON:
		return s.Format, nil
	case "":
	default:
		return "", fmt.Errorf("must be csv, json or ndjson, got %q", s.Format)
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
	Type string `yaml:"type" help:"Where devices are looked up that are in no source: postgres or http. Empty: nowhere. Their events are not held up: they are stored without labels until the answer is there."`

	DeviceColumn string `yaml:"device_column" default:"device" help:"Column or JSON member that is not a label, if it is there, because it is the device's name."`

	TTL         time.Duration `yaml:"ttl" default:"10m" help:"How long an answer holds. Then the device is looked up again, and has its old labels until the new ones are there."`
	NegativeTTL time.Duration `yaml:"negative_ttl" default:"1m" help:"How long the answer holds that nobody knows a device."`
	ErrorTTL    time.Duration `yaml:"error_ttl" default:"5s" help:"How long a device is left alone after a lookup that failed."`

	MaxEntries  int `yaml:"max_entries" default:"100000" help:"Number of answers that are remembered. The oldest go first."`
	MaxInFlight int `yaml:"max_in_flight" default:"8" help:"Number of lookups that run at the same time."`
	Queue       int `yaml:"queue" default:"1024" help:"Number of devices that may wait for their lookup. More are dropped and counted, and asked for at their next event."`

	Timeout time.Duration `yaml:"timeout" default:"5s" help:"Longest time for one lookup."`

	Postgres postgres.LookupConfig `yaml:"postgres" when:"postgres" help:"With type postgres."`
	HTTP     http.LookupConfig     `yaml:"http" when:"http" help:"With type http."`
}

func defaultLookup() LookupConfig {
	return LookupConfig{
		DeviceColumn: defaultDeviceColumn,
		TTL:          10 * time.Minute,
		NegativeTTL:  time.Minute,
		ErrorTTL:     5 * time.Second,
		MaxEntries:   100_000,
		MaxInFlight:  8,
		Queue:        1024,
		Timeout:      5 * time.Second,
		Postgres:     postgres.DefaultLookupConfig(),
		HTTP:         http.DefaultLookupConfig(),
	}
}

// faults lists what is wrong with the settings, each as "key: problem".
func (c LookupConfig) faults() []string {
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	switch c.Type {
	case "":
		if c.HTTP.URL != "" || c.Postgres.Query != "" {
			return []string{"type: must be set beside what is to be asked: postgres or http"}
		}
		return nil
	case typePostgres:
		faults = append(faults, under("postgres.", c.Postgres.Validate())...)
	case typeHTTP:
		faults = append(faults, under("http.", c.HTTP.Validate())...)
	default:
		fault("type: must be postgres, http or empty, got %q", c.Type)
	}
	for _, d := range []struct {
		key   string
		value time.Duration
	}{{"ttl", c.TTL}, {"negative_ttl", c.NegativeTTL}, {"error_ttl", c.ErrorTTL}, {"timeout", c.Timeout}} {
		if d.value < 10*time.Millisecond || d.value > 30*24*time.Hour {
			fault("%s: must be between 10ms and 30d, got %s", d.key, d.value)
		}
	}
	for _, n := range []struct {
		key         string
		value, most int
	}{{"max_entries", c.MaxEntries, 10_000_000}, {"max_in_flight", c.MaxInFlight, 256}, {"queue", c.Queue, 1_000_000}} {
		if n.value < 1 || n.value > n.most {
			fault("%s: must be between 1 and %d, got %d", n.key, n.most, n.value)
		}
	}
	return faults
}

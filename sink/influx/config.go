package influx

import (
	"strings"

	"github.com/penstock-io/penstock/internal/settings"
	"github.com/penstock-io/penstock/sink/remote"
)

// Config holds the settings of a store that takes InfluxDB's line protocol.
// Start from DefaultConfig: the bounds have no meaning at zero.
type Config struct {
	remote.Config
	remote.LabelConfig

	Database        string `yaml:"database" help:"Database, for /write: InfluxDB 1, VictoriaMetrics, QuestDB. Empty: the store's own default."`
	RetentionPolicy string `yaml:"retention_policy" help:"Retention policy of the database. Empty: its default."`

	Bucket       string `yaml:"bucket" help:"Bucket, for /api/v2/write: InfluxDB 2 and 3. Empty: /write is used."`
	Organization string `yaml:"organization" help:"Organization of the bucket."`

	Token     string `yaml:"token" secret:"true" help:"Token for the header Authorization: Token, as InfluxDB 2 wants it. May contain ${VARIABLE}, which is taken from the environment."`
	TokenFile string `yaml:"token_file" help:"File with the token, read again for each request."`

	Measurement string `yaml:"measurement" default:"telemetry" match:"[A-Za-z_][A-Za-z0-9_]{0,127}" help:"Measurement of every event. Its fields are the event's values, its tags device, the event's tags and the labels of enrichment."`

	// EscapeBackslash is what dialects of the protocol differ in.
	EscapeBackslash bool `yaml:"escape_backslash" default:"false" help:"Double each backslash in tags: true for VictoriaMetrics and QuestDB, which read two as one; false for InfluxDB, which takes each as it is and cannot hold one at the end of a tag: such an event becomes a dead letter."`

	Compression     string `yaml:"compression" default:"gzip" oneof:"gzip,none" help:"Compression of requests."`
	MaxRequestBytes int64  `yaml:"max_request_bytes" unit:"bytes" default:"4MiB" min:"256KiB" max:"1GiB" help:"Size of one request before compression. A write that is larger is sent in several."`
}

const (
	compressGzip = "gzip"
	compressNone = "none"
)

// DefaultConfig returns the settings that need nothing but a URL.
func DefaultConfig() Config { return settings.Default[Config]() }

// Check notes what no tag says.
func (c Config) Check(f *settings.Faults) {
	if path, _, _ := strings.Cut(c.URL, "?"); strings.HasSuffix(strings.TrimRight(path, "/"), "/write") {
		f.Add("url", "must end before /write or /api/v2/write, which is added")
	}
	if c.Database != "" && c.Bucket != "" {
		f.Add("bucket", "must not be set beside database: one is for /api/v2/write, the other for /write")
	}
	if c.RetentionPolicy != "" && c.Database == "" {
		f.Add("retention_policy", "must not be set without database")
	}
	if c.Organization != "" && c.Bucket == "" {
		f.Add("organization", "must not be set without bucket")
	}
	if c.Token != "" && c.TokenFile != "" {
		f.Add("token_file", "must not be set beside token")
	}
	if (c.Token != "" || c.TokenFile != "") && (c.Username != "" || c.BearerToken != "" || c.BearerTokenFile != "") {
		f.Add("token", "must not be set beside username or bearer_token: a request has one Authorization")
	}
}

package influx

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

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

	Measurement string `yaml:"measurement" default:"telemetry" help:"Measurement of every event. Its fields are the event's values, its tags device, the event's tags and the labels of enrichment."`

	// EscapeBackslash is what dialects of the protocol differ in.
	EscapeBackslash bool `yaml:"escape_backslash" default:"false" help:"Double each backslash in tags: true for VictoriaMetrics and QuestDB, which read two as one; false for InfluxDB, which takes each as it is and cannot hold one at the end of a tag: such an event becomes a dead letter."`

	Compression     string `yaml:"compression" default:"gzip" help:"gzip or none."`
	MaxRequestBytes int64  `yaml:"max_request_bytes" unit:"bytes" default:"4MiB" help:"Size of one request before compression. A write that is larger is sent in several."`
}

const (
	compressGzip = "gzip"
	compressNone = "none"
)

// DefaultConfig returns the settings that need nothing but a URL.
func DefaultConfig() Config {
	return Config{
		Config:          remote.DefaultConfig(),
		LabelConfig:     remote.DefaultLabelConfig(),
		Measurement:     "telemetry",
		Compression:     compressGzip,
		MaxRequestBytes: 4 << 20,
	}
}

var nameForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Validate returns all faults of the settings, joined.
func (c Config) Validate() error {
	errs := []error{c.Config.Validate(), c.LabelConfig.Validate()}
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if path, _, _ := strings.Cut(c.URL, "?"); strings.HasSuffix(strings.TrimRight(path, "/"), "/write") {
		fault("url: must end before /write or /api/v2/write, which is added")
	}
	if c.Database != "" && c.Bucket != "" {
		fault("bucket: must not be set beside database: one is for /api/v2/write, the other for /write")
	}
	if c.RetentionPolicy != "" && c.Database == "" {
		fault("retention_policy: must not be set without database")
	}
	if c.Organization != "" && c.Bucket == "" {
		fault("organization: must not be set without bucket")
	}
	if c.Token != "" && c.TokenFile != "" {
		fault("token_file: must not be set beside token")
	}
	if (c.Token != "" || c.TokenFile != "") && (c.Username != "" || c.BearerToken != "" || c.BearerTokenFile != "") {
		fault("token: must not be set beside username or bearer_token: a request has one Authorization")
	}
	if !nameForm.MatchString(c.Measurement) || len(c.Measurement) > 128 {
		fault("measurement: must match [A-Za-z_][A-Za-z0-9_]* and have at most 128 bytes, got %q", c.Measurement)
	}
	if c.Compression != compressGzip && c.Compression != compressNone {
		fault("compression: must be gzip or none, got %q", c.Compression)
	}
	if c.MaxRequestBytes < 256<<10 || c.MaxRequestBytes > 1<<30 {
		fault("max_request_bytes: must be between 256KiB and 1GiB, got %d", c.MaxRequestBytes)
	}
	return errors.Join(errs...)
}

package config

import (
	"github.com/penstock-io/penstock/ingest/dialect/influx"
	"github.com/penstock-io/penstock/ingest/dialect/otlp"
	"github.com/penstock-io/penstock/ingest/dialect/promwrite"
)

// Dialects are the wire forms beside the native one.
type Dialects struct {
	Prometheus promwrite.Config `yaml:"prometheus" help:"Prometheus' remote write 1.0 and 2.0, on /api/v1/write and /api/v1/push."`
	OTLP       otlp.Config      `yaml:"otlp" help:"OpenTelemetry's metrics over OTLP/HTTP, on /v1/metrics."`
	Influx     influx.Config    `yaml:"influx" help:"InfluxDB's line protocol, on /write, /api/v2/write and /api/v3/write_lp."`
}

package config

import "github.com/penstock-io/penstock/ingest/dialect/influx"

// Dialects are the wire forms beside the native one.
type Dialects struct {
	Influx influx.Config `yaml:"influx" help:"InfluxDB's line protocol, on /write, /api/v2/write and /api/v3/write_lp."`
}

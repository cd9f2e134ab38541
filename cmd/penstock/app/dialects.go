package app

import (
	"github.com/penstock-io/penstock/cmd/penstock/config"
	"github.com/penstock-io/penstock/ingest/decode"
	"github.com/penstock-io/penstock/ingest/dialect"
	"github.com/penstock-io/penstock/ingest/dialect/influx"
	"github.com/penstock-io/penstock/ingest/dialect/otlp"
	"github.com/penstock-io/penstock/ingest/dialect/promwrite"
	"github.com/penstock-io/penstock/ingest/httpapi"
)

// dialects returns the dialects that are switched on, each at its paths.
func dialects(cfg config.Config, limits decode.Config) (mounts []httpapi.Mount) {
	of := eventLimits(limits)
	if c := cfg.Dialects.Prometheus; c.Enabled {
		mounts = append(mounts, httpapi.Mount{Name: "prometheus", Paths: promwrite.Paths(), Dialect: promwrite.New(c, of)})
	}
	if c := cfg.Dialects.OTLP; c.Enabled {
		mounts = append(mounts, httpapi.Mount{Name: "otlp", Paths: otlp.Paths(), Dialect: otlp.New(c, of)})
	}
	if c := cfg.Dialects.Influx; c.Enabled {
		mounts = append(mounts, httpapi.Mount{Name: "influx", Paths: influx.Paths(), Dialect: influx.New(c, of)})
	}
	return mounts
}

// eventLimits returns the limits of events in the form that dialects know.
func eventLimits(c decode.Config) dialect.Limits {
	c = c.WithDefaults()
	return dialect.Limits{
		MaxEvents:      c.MaxEvents,
		MaxFields:      c.MaxFields,
		MaxTags:        c.MaxTags,
		MaxNameBytes:   int(c.MaxNameBytes),
		MaxTagBytes:    int(c.MaxTagBytes),
		MaxDeviceBytes: int(c.MaxDeviceBytes),
		MaxPast:        c.MaxPast,
		MaxFuture:      c.MaxFuture,
	}
}

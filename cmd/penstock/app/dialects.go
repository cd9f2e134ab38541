package app

import (
	"github.com/penstock-io/penstock/cmd/penstock/config"
	"github.com/penstock-io/penstock/ingest/decode"
	"github.com/penstock-io/penstock/ingest/dialect"
	"github.com/penstock-io/penstock/ingest/httpapi"
)

// dialects returns the dialects that are switched on, each at its paths.
func dialects(_ config.Config, limits decode.Config) []httpapi.Mount {
	_ = eventLimits(limits)
	return nil
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

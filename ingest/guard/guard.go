// Package guard puts the guards together that look at what is sent: first the
// schema, then the number of series, so that what the schema rejects begins no
// series.
package guard

import (
	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/guard/cardinality"
	"github.com/penstock-io/penstock/ingest/guard/schema"
)

// Config holds the settings of both guards. Both are off without any.
type Config struct {
	Cardinality cardinality.Config `yaml:"cardinality" help:"Limits on active series, kept before an event is acknowledged. Off while all three limits are 0."`
	Schema      schema.Config      `yaml:"schema" help:"What the values of each metric may be."`
}

// Screener is what ingest asks; either of them may be nil.
type Screener struct {
	Schema      *schema.Schema
	Cardinality *cardinality.Guard
}

// Screen borrows b.
func (s Screener) Screen(b *event.Batch) error {
	if s.Schema != nil {
		if err := s.Schema.Screen(b); err != nil {
			return err
		}
	}
	if s.Cardinality != nil {
		return s.Cardinality.Screen(b)
	}
	return nil
}

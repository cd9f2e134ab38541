package inspect

import (
	"fmt"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/journal/segment"
)

// Report is what Look finds.
type Report struct {
	Dir       string           `json:"dir"`
	Head      event.Position   `json:"head"`
	Tail      event.Position   `json:"tail"`
	Records   int              `json:"records"`
	Events    int              `json:"events"`
	Oldest    time.Time        `json:"oldest,omitzero"`
	Newest    time.Time        `json:"newest,omitzero"`
	DiskBytes int64            `json:"disk_bytes"`
	Problems  []Problem        `json:"problems"`
	Segments  []SegmentReport  `json:"segments"`
	Consumers []ConsumerReport `json:"consumers"`

	// Quarantined counts the files in the quarantine.
	Quarantined int `json:"quarantined"`
}

// SegmentReport is one segment.
type SegmentReport struct {
	Name    string         `json:"name"`
	Base    event.Position `json:"base"`
	End     event.Position `json:"end"` // behind the last record
	Bytes   int64          `json:"bytes"`
	Records int            `json:"records"`
	Events  int            `json:"events"`
	Oldest  time.Time      `json:"oldest,omitzero"`
	Newest  time.Time      `json:"newest,omitzero"`
}

// ConsumerReport is the progress of one sink.
type ConsumerReport struct {
	Name    string         `json:"name"`
	Low     event.Position `json:"low"`
	Done    []event.Range  `json:"done,omitempty"`
	Backlog uint64         `json:"backlog"`
	Damaged bool           `json:"damaged,omitempty"`
}

// Problem is a place that is not as it was written.
type Problem struct {
	Segment string         `json:"segment"`
	From    event.Position `json:"from"`
	Bytes   int64          `json:"bytes"`
	What    string         `json:"what"`
}

func (p Problem) String() string {
	return fmt.Sprintf("%s: position %d, %d bytes: %s", p.Segment, p.From, p.Bytes, p.What)
}

func (r *Report) problem(name string, from event.Position, n int64, what string) {
	r.Problems = append(r.Problems, Problem{name, from, n, what})
}

func (s *SegmentReport) add(it *segment.Item, end event.Position) {
	at := time.UnixMilli(it.Header.Time).UTC()
	if s.Records == 0 {
		s.Oldest = at
	}
	s.Newest = at
	s.Records++
	s.Events += int(it.Header.Events)
	s.End = end
}

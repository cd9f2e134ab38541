package journal

import (
	"time"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/settings"
)

// The values of Config.Sync.
const (
	SyncCommit   = "commit"
	SyncInterval = "interval"
	SyncOff      = "off"
)

// Config holds the settings of the journal.
type Config struct {
	// Sync says what an acknowledgement means: commit (durable: synced
	// before it is sent), interval (written: synced every SyncInterval) or
	// off (queued: the operating system decides). Default commit.
	Sync string `yaml:"sync" default:"commit" oneof:"commit,interval,off" help:"What a 2xx means: commit (the events are synced to disk), interval (written, and synced every sync_interval) or off (in memory; the operating system decides)."`

	// SyncInterval is the time between two syncs with Sync: interval, 1 ms
	// to 1 min. Default 100 ms. Otherwise it has no effect.
	SyncInterval time.Duration `yaml:"sync_interval" default:"100ms" min:"1ms" max:"1m" help:"Time between two syncs with sync: interval. At most this much is lost in a power cut."`

	// SegmentBytes is the size of one file, at least 64 KiB. Default 64 MiB.
	// Space is given back in this unit.
	SegmentBytes int64 `yaml:"segment_bytes" unit:"bytes" default:"64MiB" min:"64KiB" max:"4GiB" help:"Size of one file of the journal. It is allocated ahead; space is given back in this unit."`

	// MaxBytes bounds the files of the journal, what is allocated ahead
	// included, and is at least four segments and the largest record.
	// Default 8 GiB. Beyond it Append refuses with ErrFull.
	MaxBytes int64 `yaml:"max_bytes" unit:"bytes" default:"8GiB" help:"Bound of the journal on disk. When it is reached, requests are answered 503 until a sink has caught up."`

	// MinFreeBytes is the space of the file system that the journal leaves
	// free. Default 512 MiB; 0 means that it may use all.
	MinFreeBytes int64 `yaml:"min_free_bytes" unit:"bytes" default:"512MiB" zero:"no floor" min:"0" help:"Free space of the file system below which requests are answered 503."`

	// MaxRecordBytes bounds one record, 64 KiB to segment.MaxPayload (1 GiB). Default 64 MiB: a
	// field takes at least 6 bytes of JSON and at most 10 here, so the
	// largest request (32 MiB of JSON) takes 54 MiB at most.
	MaxRecordBytes int64 `yaml:"max_record_bytes" unit:"bytes" default:"64MiB" min:"64KiB" max:"1GiB" help:"Bound of one record, which holds the events of one request. Twice the decompressed body limit is always enough."`
}

// DefaultConfig returns the settings that serve without a configuration.
func DefaultConfig() Config { return settings.Default[Config]() }

// Check notes what no tag says.
func (c Config) Check(f *settings.Faults) {
	if least := 4*c.SegmentBytes + c.MaxRecordBytes; c.MaxBytes < least {
		f.Add("max_bytes", "must be at least four times segment_bytes plus max_record_bytes (%s), got %s", settings.Size(least), settings.Size(c.MaxBytes))
	}
}

// MaxAck returns the safest acknowledgement that the settings allow.
func (c Config) MaxAck() event.Ack {
	switch c.Sync {
	case SyncCommit:
		return event.Durable
	case SyncInterval:
		return event.Written
	}
	return event.Queued
}

// capacity is how many bytes of records and headers the journal may hold so
// that its files stay within MaxBytes: the segment that is being written and
// the one that is ready to follow it take their full size.
func (c Config) capacity() int64 { return c.MaxBytes - 2*c.SegmentBytes }

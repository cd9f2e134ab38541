// Package sim is a fleet of devices that are not there: sensors with daily
// curves, some of them faulty, and recordings that are sent as if devices
// were reading them now. They speak the wire contract as good devices do:
// they number what they send, wait when they are asked to, send again what
// was not acknowledged, and drop what was refused for good.
package sim

// Event is one reading as it goes over the wire. Values are what
// encoding/json makes of them: faulty devices put in more than numbers.
type Event struct {
	TS     int64          `json:"ts"` // milliseconds since the Unix epoch
	Values map[string]any `json:"values"`
}

// Envelope is what a device sends at once. Boot and Seq stay the same when it
// is sent again.
type Envelope struct {
	Device string            `json:"device"`
	Boot   string            `json:"boot,omitempty"`
	Seq    uint64            `json:"seq"`
	SentAt int64             `json:"sent_at"`
	Tags   map[string]string `json:"tags,omitempty"`
	Events []Event           `json:"events"`
}

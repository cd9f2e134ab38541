package deadletter

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/jsonstring"
	"github.com/penstock-io/penstock/sink"
	"github.com/penstock-io/penstock/sink/ndjson"
)

// Line is a dead letter as it stands in a file: an event in the form of the
// wire with the refused fields only, and what became of it.
type Line struct {
	Device string              `json:"device"`
	TS     int64               `json:"ts"` // milliseconds since the Unix epoch
	Values map[string]*float64 `json:"values"`
	Tags   map[string]string   `json:"tags,omitempty"`
	// Labels are those of enrichment at the time of the refusal.
	Labels map[string]string `json:"labels,omitempty"`

	ID     string    `json:"id"`
	Sink   string    `json:"sink"`
	Status int       `json:"status,omitempty"`
	Error  string    `json:"error"`
	DeadAt time.Time `json:"dead_at"`
}

// maxDetail bounds the store's words in a letter, in bytes.
const maxDetail = 1 << 10

// maxParts bounds the fields, tags and labels of a letter that is read.
const maxParts = 10_000

// appendLine appends the line of a letter, without its end.
func appendLine(dst []byte, name, id string, at time.Time, l *sink.Letter) []byte {
	dst = ndjson.Append(dst, l.Batch, &l.Batch.Events[0])
	dst = append(dst[:len(dst)-1], `,"id":`...)
	dst = jsonstring.Append(dst, id)
	dst = append(dst, `,"sink":`...)
	dst = jsonstring.Append(dst, name)
	if l.Status != 0 {
		dst = append(dst, `,"status":`...)
		dst = strconv.AppendInt(dst, int64(l.Status), 10)
	}
	dst = append(dst, `,"error":`...)
	detail := l.Detail
	if len(detail) > maxDetail {
		detail = strings.ToValidUTF8(detail[:maxDetail], "")
	}
	dst = jsonstring.Append(dst, detail)
	dst = append(dst, `,"dead_at":"`...)
	dst = at.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z07:00")
	return append(dst, `"}`...)
}

// parseLine parses a line without its end. A line that is no letter is an
// error, which quotes nothing of it.
func parseLine(line []byte) (*Line, error) {
	var l Line
	if err := json.Unmarshal(line, &l); err != nil {
		return nil, fmt.Errorf("not a dead letter: %w", err)
	}
	switch {
	case !validID(l.ID):
		return nil, errors.New("not a dead letter: no id")
	case l.Device == "" || len(l.Values) == 0:
		return nil, errors.New("not a dead letter: no device or no values")
	}
	if len(l.Values) > maxParts || len(l.Tags) > maxParts || len(l.Labels) > maxParts {
		return nil, errors.New("not a dead letter: more fields, tags or labels than an event may have")
	}
	for name, v := range l.Values {
		if name == "" || v == nil {
			return nil, errors.New("not a dead letter: a field without a name or a value")
		}
	}
	if _, err := l.labels(); err != nil {
		return nil, fmt.Errorf("not a dead letter: %w", err)
	}
	return &l, nil
}

// letter makes the letter of a line. Its batch is the caller's to release.
func (l *Line) letter(pool *event.Pool) sink.Letter {
	b := pool.Get(0)
	for _, name := range sorted(l.Values) {
		b.AddField(name, *l.Values[name])
	}
	for _, name := range sorted(l.Tags) {
		b.AddTag(name, l.Tags[name])
	}
	b.Commit(0, l.Device, l.TS)
	if labels, err := l.labels(); err == nil { // parseLine has seen to it
		b.Events[0].Labels = labels
	}
	return sink.Letter{Batch: b, Status: l.Status, Detail: l.Error, ID: l.ID}
}

// labels returns nil if there are none.
func (l *Line) labels() (*event.Labels, error) {
	if len(l.Labels) == 0 {
		return nil, nil
	}
	var list []event.Label
	for _, name := range sorted(l.Labels) {
		list = append(list, event.Label{Name: name, Value: l.Labels[name]})
	}
	return event.NewLabels(list)
}

func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// An ID is the microsecond in which the letter was written and a hash of its
// event, both in hexadecimal: 0006431a5bc2d-9f86d081884c7d65. IDs ascend in
// the order of the letters.

const (
	timeDigits = 13 // good until 2112
	hashDigits = 16
)

func makeID(micros int64, h contentHash) string {
	return fmt.Sprintf("%0*x-%s", timeDigits, micros, hex.EncodeToString(h[:]))
}

func validID(id string) bool {
	_, _, ok := splitID(id)
	return ok
}

func splitID(id string) (micros int64, h contentHash, ok bool) {
	if len(id) != timeDigits+1+hashDigits || id[timeDigits] != '-' {
		return 0, h, false
	}
	micros, err := strconv.ParseInt(id[:timeDigits], 16, 64)
	if err != nil || strings.ToLower(id) != id || micros < 0 {
		return 0, h, false
	}
	if _, err := hex.Decode(h[:], []byte(id[timeDigits+1:])); err != nil {
		return 0, h, false
	}
	return micros, h, true
}

// contentHash tells whether two letters are of the same event and fields. It
// is cryptographic because devices choose what is hashed.
type contentHash [hashDigits / 2]byte

func hashOf(l *sink.Letter) contentHash {
	e := &l.Batch.Events[0]
	var text []byte
	text = jsonstring.Append(text, e.Device)
	text = strconv.AppendInt(text, e.Timestamp, 10)
	for _, f := range slices.SortedFunc(slices.Values(l.Batch.Fields(e)), func(a, b event.Field) int { return strings.Compare(a.Name, b.Name) }) {
		text = ndjson.AppendNumber(jsonstring.Append(text, f.Name), f.Value)
	}
	for _, t := range slices.SortedFunc(slices.Values(l.Batch.Tags(e)), func(a, b event.Label) int { return strings.Compare(a.Name, b.Name) }) {
		text = jsonstring.Append(jsonstring.Append(text, t.Name), t.Value)
	}
	sum := sha256.Sum256(text)
	return contentHash(sum[:hashDigits/2])
}

// eachLine calls visit with the whole lines of data until it returns false. It
// returns the offset behind the last line for which it returned true.
func eachLine(data []byte, visit func(line []byte) bool) (end int) {
	for end < len(data) {
		n := bytes.IndexByte(data[end:], '\n')
		if n < 0 || !visit(data[end:end+n]) {
			return end
		}
		end += n + 1
	}
	return end
}

package decode

import (
	"bytes"
	"encoding/json"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/penstock-io/penstock/ingest/event"
)

// The reference: what a body means, written with encoding/json for being
// right and nothing else. It shares no code with the decoder but Config.

type refEvent struct {
	index  int
	device string
	ts     int64
	fields []event.Field
	tags   []event.Label
}

type refRejection struct {
	index   int
	code    event.Code
	pointer string
}

type refResult struct {
	fault     event.Cause // none if the body is in order
	events    []refEvent
	rejected  []refRejection
	envelopes []event.Envelope
	total     int
	nulls     int
}

type reference struct {
	cfg       Config
	precision Precision
	refResult
}

func refer(cfg Config, body []byte, f Format, p Precision) refResult {
	r := reference{cfg: cfg.withDefaults(), precision: p}
	r.body(body, f)
	if r.total > r.cfg.MaxEvents {
		r.fault = event.TooManyEvents
	}
	return r.refResult
}

func (r *reference) body(body []byte, f Format) {
	const white = " \t\r\n"
	if len(bytes.Trim(body, white)) == 0 {
		r.fault = event.EmptyBody
		return
	}
	if f == NDJSON {
		for line := range bytes.SplitSeq(body, []byte("\n")) {
			switch {
			case len(bytes.Trim(line, white)) == 0:
			case !json.Valid(line):
				r.reject(event.MalformedJSON, "")
			default:
				r.element(json.RawMessage(bytes.Trim(line, white)), nil)
			}
		}
		return
	}
	if !json.Valid(body) {
		r.fault = event.Malformed
		return
	}
	switch body = bytes.Trim(body, white); body[0] {
	case '[':
		for _, e := range refElements(body) {
			r.element(e, nil)
		}
	case '{':
		r.element(body, nil)
	default:
		r.fault = event.NotEvents
	}
}

func (r *reference) reject(code event.Code, pointer string) {
	r.rejected = append(r.rejected, refRejection{r.total, code, pointer})
	r.total++
}

// refFault is a reason to reject.
type refFault struct {
	code    event.Code
	pointer string
}

type refEnvelope struct {
	device string
	tags   []event.Label
	fault  *refFault
}

func (r *reference) element(raw json.RawMessage, env *refEnvelope) {
	if env != nil && env.fault != nil {
		r.reject(env.fault.code, env.fault.pointer)
		return
	}
	if raw[0] != '{' {
		r.reject(event.TypeMismatch, "")
		return
	}
	last := map[string]json.RawMessage{}
	for _, m := range refMembers(raw) {
		last[m.name] = m.value
	}
	for name, value := range last {
		if string(value) == "null" {
			delete(last, name)
		}
	}
	if list, ok := last["events"]; ok && env == nil {
		r.envelope(last, list)
		return
	}
	if env == nil {
		env = &refEnvelope{}
	}
	e, fault := r.event(last, env)
	if fault != nil {
		r.reject(fault.code, fault.pointer)
		return
	}
	e.index = r.total
	r.events = append(r.events, e)
	r.total++
}

func (r *reference) envelope(last map[string]json.RawMessage, list json.RawMessage) {
	if list[0] != '[' {
		r.reject(event.TypeMismatch, "/events")
		return
	}
	var env refEnvelope
	if raw, ok := last["device"]; ok {
		env.device, env.fault = r.device(raw)
	}
	if raw, ok := last["tags"]; ok && env.fault == nil {
		env.tags, env.fault = r.tags(raw, nil)
	}
	from := r.total
	for _, e := range refElements(list) {
		r.element(e, &env)
	}
	if r.total == from || env.fault != nil {
		return
	}
	out := event.Envelope{Device: env.device, From: uint32(from), To: uint32(r.total)}
	bootOK := true
	if raw, ok := last["boot"]; ok {
		out.Boot, bootOK = "", false
		if raw[0] == '"' && utf8.Valid(raw) && len(refString(raw)) <= 64 {
			out.Boot, bootOK = refString(raw), true
		}
	}
	if raw, ok := last["seq"]; ok && bootOK {
		if n, err := strconv.ParseUint(string(raw), 10, 64); err == nil {
			out.Seq, out.HasSeq = n, true
		}
	}
	if raw, ok := last["sent_at"]; ok {
		if ms, ok := r.instant(raw); ok && ms.IsInt64() {
			out.SentAt = ms.Int64()
		}
	}
	r.envelopes = append(r.envelopes, out)
}

func (r *reference) event(last map[string]json.RawMessage, env *refEnvelope) (e refEvent, fault *refFault) {
	e.device, e.ts = env.device, now
	if raw, ok := last["device"]; ok {
		if e.device, fault = r.device(raw); fault != nil {
			return e, fault
		}
	}
	if e.device == "" {
		return e, &refFault{event.MissingDevice, "/device"}
	}
	if raw, ok := last["ts"]; ok {
		if e.ts, fault = r.timestamp(raw); fault != nil {
			return e, fault
		}
	}
	nulls := 0
	if raw, ok := last["values"]; ok {
		if e.fields, nulls, fault = r.values(raw); fault != nil {
			return e, fault
		}
	}
	if len(e.fields) == 0 {
		r.nulls += nulls
		return e, &refFault{event.NoValues, "/values"}
	}
	e.tags = env.tags
	if raw, ok := last["tags"]; ok {
		if e.tags, fault = r.tags(raw, env.tags); fault != nil {
			return e, fault
		}
	}
	r.nulls += nulls
	return e, nil
}

func (r *reference) device(raw json.RawMessage) (string, *refFault) {
	if raw[0] != '"' {
		return "", &refFault{event.TypeMismatch, "/device"}
	}
	s := refString(raw)
	if !utf8.Valid(raw) || s == "" || len(s) > int(r.cfg.MaxDeviceBytes) || strings.ContainsFunc(s, unicode.IsControl) {
		return "", &refFault{event.InvalidDevice, "/device"}
	}
	return s, nil
}

var refInteger = regexp.MustCompile(`^-?[0-9]+$`)

// instant returns milliseconds, of whatever size; ok is false if raw is
// neither an integer nor RFC 3339.
func (r *reference) instant(raw json.RawMessage) (ms *big.Int, ok bool) {
	if raw[0] == '"' {
		var t time.Time
		if s := refString(raw); len(s) > 64 || t.UnmarshalText([]byte(s)) != nil {
			return nil, false
		}
		return big.NewInt(t.UnixMilli()), true
	}
	if !refInteger.Match(raw) {
		return nil, false
	}
	n, _ := new(big.Int).SetString(string(raw), 10)
	if !n.IsInt64() {
		return n.Exp(big.NewInt(10), big.NewInt(99), nil), true
	}
	switch r.precision {
	case Second:
		n.Mul(n, big.NewInt(1000))
	case Microsecond:
		n.Div(n, big.NewInt(1000)) // Euclidean, which for a positive divisor is rounding down
	case Nanosecond:
		n.Div(n, big.NewInt(1_000_000))
	}
	return n, true
}

func (r *reference) timestamp(raw json.RawMessage) (int64, *refFault) {
	if raw[0] != '"' && raw[0] != '-' && !unicode.IsDigit(rune(raw[0])) {
		return 0, &refFault{event.TypeMismatch, "/ts"}
	}
	ms, ok := r.instant(raw)
	if !ok {
		return 0, &refFault{event.InvalidTimestamp, "/ts"}
	}
	from, to := now-r.cfg.MaxPast.Milliseconds(), now+r.cfg.MaxFuture.Milliseconds()
	if ms.Cmp(big.NewInt(from)) < 0 || ms.Cmp(big.NewInt(to)) > 0 {
		return 0, &refFault{event.TimestampRange, "/ts"}
	}
	return ms.Int64(), nil
}

var refName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (r *reference) nameFault(member, name string) *refFault {
	if !refName.MatchString(name) || strings.HasPrefix(name, "__") || len(name) > int(r.cfg.MaxNameBytes) {
		return &refFault{event.InvalidName, refPointer(member, name)}
	}
	return nil
}

func refPointer(member, name string) string {
	if len(name) > 256 {
		return "/" + member
	}
	return "/" + member + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

func (r *reference) values(raw json.RawMessage) (fields []event.Field, nulls int, fault *refFault) {
	if raw[0] != '{' {
		return nil, 0, &refFault{event.TypeMismatch, "/values"}
	}
	for i, m := range refMembers(raw) {
		if i == r.cfg.MaxFields {
			return nil, 0, &refFault{event.TooManyValues, "/values"}
		}
		if fault := r.nameFault("values", m.name); fault != nil {
			return nil, 0, fault
		}
		var x float64
		switch v := string(m.value); v[0] {
		case 'n':
			nulls++
			continue
		case 't':
			x = 1
		case 'f':
		case '"', '[', '{':
			return nil, 0, &refFault{event.TypeMismatch, refPointer("values", m.name)}
		default:
			var err error
			if x, err = strconv.ParseFloat(v, 64); err != nil || math.IsInf(x, 0) {
				return nil, 0, &refFault{event.ValueRange, refPointer("values", m.name)}
			}
		}
		replaced := false
		for j := range fields {
			if fields[j].Name == m.name {
				fields[j].Value, replaced = x, true
			}
		}
		if !replaced {
			fields = append(fields, event.Field{Name: m.name, Value: x})
		}
	}
	return fields, nulls, nil
}

func (r *reference) tags(raw json.RawMessage, inherited []event.Label) (tags []event.Label, fault *refFault) {
	if raw[0] != '{' {
		return nil, &refFault{event.TypeMismatch, "/tags"}
	}
	set := func(name, value string, replace bool) {
		for j := range tags {
			if tags[j].Name == name {
				if replace {
					tags[j].Value = value
				}
				return
			}
		}
		tags = append(tags, event.Label{Name: name, Value: value})
	}
	for _, m := range refMembers(raw) {
		pointer := refPointer("tags", m.name)
		if fault := r.nameFault("tags", m.name); fault != nil {
			return nil, fault
		}
		switch v := m.value; {
		case m.name == "device":
			return nil, &refFault{event.ReservedTag, pointer}
		case string(v) == "null":
		case v[0] != '"':
			return nil, &refFault{event.TypeMismatch, pointer}
		case !utf8.Valid(v):
			return nil, &refFault{event.InvalidTag, pointer}
		case len(refString(v)) > int(r.cfg.MaxTagBytes):
			return nil, &refFault{event.TagTooLong, pointer}
		case string(v) != `""`:
			set(m.name, refString(v), true)
		}
		if len(tags) > r.cfg.MaxTags {
			return nil, &refFault{event.TooManyTags, "/tags"}
		}
	}
	for _, t := range inherited {
		set(t.Name, t.Value, false)
	}
	if len(tags) > r.cfg.MaxTags {
		return nil, &refFault{event.TooManyTags, "/tags"}
	}
	return tags, nil
}

type refMember struct {
	name  string
	value json.RawMessage
}

// refMembers returns the members of an object, all of them and in order.
func refMembers(raw json.RawMessage) (members []refMember) {
	d := json.NewDecoder(bytes.NewReader(raw))
	must(d.Token())
	for d.More() {
		m := refMember{name: must(d.Token()).(string)}
		if err := d.Decode(&m.value); err != nil {
			panic(err)
		}
		members = append(members, m)
	}
	return members
}

func refElements(raw json.RawMessage) (elements []json.RawMessage) {
	if err := json.Unmarshal(raw, &elements); err != nil {
		panic(err)
	}
	return elements
}

func refString(raw json.RawMessage) (s string) {
	if err := json.Unmarshal(raw, &s); err != nil {
		panic(err)
	}
	return s
}

func must[T any](x T, err error) T {
	if err != nil {
		panic(err)
	}
	return x
}

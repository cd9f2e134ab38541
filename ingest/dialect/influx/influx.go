package influx

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/url"
	"runtime/debug"
	"sync"

	"github.com/penstock-io/penstock/ingest/dialect"
	"github.com/penstock-io/penstock/ingest/event"
)

// Dialect speaks to InfluxDB's clients. It is safe for concurrent use.
type Dialect struct {
	rules    rules
	quota    int
	decoders sync.Pool
}

// New returns the dialect. cfg must be valid.
func New(cfg Config, limits dialect.Limits) *Dialect {
	d := &Dialect{
		rules: rules{limits, cfg.DeviceTags, cfg.Names == "field", cfg.OnlyStrings == "reject"},
		quota: cfg.QuotaStatus,
	}
	d.decoders.New = func() any { return &decoder{rules: &d.rules} }
	return d
}

// Paths returns where the dialect is spoken.
func Paths() []string {
	return []string{pathV1, pathV2, pathV3, pathPing, pathHealth, pathQuery}
}

const (
	pathV1     = "/write"
	pathV2     = "/api/v2/write"
	pathV3     = "/api/v3/write_lp"
	pathPing   = "/ping"
	pathHealth = "/health"
	pathQuery  = "/query"
)

// version is that of InfluxDB's API, which decides on the form of answers.
type version uint8

const (
	v1 version = iota + 1
	v2
	v3
)

func versionOf(path []byte) version {
	switch string(path) {
	case pathV2:
		return v2
	case pathV3:
		return v3
	}
	return v1
}

// Begin reads method, query and credential. Content-Type is not looked at:
// clients send line protocol under any, or none.
func (d *Dialect) Begin(r *dialect.Request) error {
	credential(r)
	switch string(r.Path) {
	case pathPing, pathHealth:
		r.Control = true
		if m := string(r.Method); m != "GET" && m != "HEAD" {
			return dialect.Method("this path takes GET and HEAD")
		}
		return nil
	case pathQuery:
		r.Control = true
		if m := string(r.Method); m != "GET" && m != "POST" {
			return dialect.Method("this path takes POST and GET")
		}
		return nil
	}
	if string(r.Method) != "POST" {
		return dialect.Method("line protocol is sent by POST")
	}
	v := versionOf(r.Path)
	precision := r.Query.Peek("precision")
	u := parseUnit(v, precision)
	if u == noUnit {
		return dialect.Parameter(fmt.Sprintf("invalid precision %.20q", precision))
	}
	r.Note = uint64(u)
	if v != v3 {
		return nil
	}
	partial, err := boolParameter(r, "accept_partial", true)
	if err != nil {
		return err
	}
	noSync, err := boolParameter(r, "no_sync", false)
	if err != nil {
		return err
	}
	r.Partial = partial
	if noSync {
		r.Want = event.Queued
	}
	return nil
}

func boolParameter(r *dialect.Request, name string, absent bool) (bool, error) {
	switch value := r.Query.Peek(name); string(value) {
	case "":
		return absent, nil
	case "true":
		return true, nil
	case "false":
		return false, nil
	default:
		return false, dialect.Parameter(fmt.Sprintf("%s must be true or false, not %.20q", name, value))
	}
}

// credential finds what the client proves itself with: Authorization as Token
// or Bearer, the password of Basic, or that of the query. A token of version 1
// is user:password, of which the password counts.
func credential(r *dialect.Request) {
	scheme, value, _ := bytes.Cut(r.Header.Peek("Authorization"), []byte{' '})
	value = bytes.TrimSpace(value)
	switch {
	case len(scheme) == 0:
		r.Credential = r.Query.Peek("p")
	case bytes.EqualFold(scheme, []byte("Token")):
		_, password, both := bytes.Cut(value, []byte{':'})
		if r.Credential = value; both {
			r.Credential = password
		}
	case bytes.EqualFold(scheme, []byte("Bearer")):
		r.Credential = value
	case bytes.EqualFold(scheme, []byte("Basic")):
		var err error
		r.Buffer, err = base64.StdEncoding.AppendDecode(r.Buffer[:0], value)
		if err == nil {
			_, r.Credential, _ = bytes.Cut(r.Buffer, []byte{':'})
		}
	}
}

// Decode fills b with the lines of its body.
func (d *Dialect) Decode(r *dialect.Request, b *event.Batch) (err error) {
	if r.Control {
		return d.control(r, b)
	}
	defer func() {
		if p := recover(); p != nil {
			err = &event.Refusal{Cause: event.Internal, Err: fmt.Errorf("panic in decoding line protocol: %v\n%s", p, debug.Stack())}
		}
	}()
	dec := d.decoders.Get().(*decoder)
	dec.begin(b, b.Body, unit(r.Note))
	refusal := dec.body()
	dec.end()
	d.decoders.Put(dec)
	if refusal != nil {
		return refusal
	}
	return nil
}

// control reads a query: the only one that is understood creates a database,
// which clients do before they write, and there is none to create.
func (d *Dialect) control(r *dialect.Request, b *event.Batch) error {
	if string(r.Path) != pathQuery {
		return nil
	}
	q := r.Query.Peek("q")
	if len(q) == 0 {
		if form, err := url.ParseQuery(event.String(b.Body)); err == nil {
			q = []byte(form.Get("q"))
		}
	}
	const understood = "CREATE DATABASE"
	if q = bytes.TrimSpace(q); len(q) < len(understood) || !bytes.EqualFold(q[:len(understood)], []byte(understood)) {
		return dialect.Parameter("of queries only CREATE DATABASE is understood, which does nothing; what is stored is read from the operator's listener")
	}
	return nil
}

package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock-io/penstock/enrich/row"
	"github.com/penstock-io/penstock/ingest/event"
)

// session is one connection. It is used by one goroutine at a time.
type session struct {
	conn    *pgconn.PgConn
	timeout time.Duration
	heard   []string // payloads of notifications that have not been dealt with
}

func (r resolved) connect(ctx context.Context) (*session, error) {
	s := &session{timeout: r.timeout}
	cfg, err := r.config()
	if err != nil {
		return nil, err
	}
	cfg.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) { s.hear(n.Payload) }
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	if s.conn, err = pgconn.ConnectConfig(ctx, cfg); err != nil {
		return nil, fmt.Errorf("cannot connect to PostgreSQL: %w", err)
	}
	return s, nil
}

func (s *session) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.conn.Close(ctx) // nothing is lost with it
}

// query calls each for every row, and with what its change column says. The
// row is lent until each returns.
func (s *session) query(ctx context.Context, r *rowReader, sql string, args [][]byte, each func(r row.Row, change string) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	result := s.conn.ExecParams(ctx, sql, args, nil, nil, nil)
	columns := result.FieldDescriptions()
	var failed error
	if len(columns) > 0 {
		failed = r.check(columns)
	}
	for failed == nil && result.NextRow() {
		failed = each(r.read(columns, result.Values()))
	}
	if failed != nil {
		// The rest of the rows is not wanted; reading it could take long.
		cancel()
		_, _ = result.Close()
		return failed
	}
	if _, err := result.Close(); err != nil {
		return queryError(ctx, err)
	}
	return nil
}

// run runs statements that give no rows.
func (s *session) run(ctx context.Context, sql string) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if _, err := s.conn.Exec(ctx, sql).ReadAll(); err != nil {
		return queryError(ctx, err)
	}
	return nil
}

// queryError makes a timeout readable.
func queryError(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("the query took longer than timeout: %w", err)
	}
	return fmt.Errorf("the query failed: %w", err)
}

// The type identifiers of PostgreSQL that mean more than their text.
const (
	oidBool  = 16
	oidJSON  = 114
	oidJSONB = 3802
)

// rowReader turns the columns of a query into rows.
type rowReader struct {
	device, change, deleted string // names of columns; "" for none
	labels                  []event.Label
	checked                 bool
}

// check finds the columns that must be there.
func (r *rowReader) check(columns []pgconn.FieldDescription) error {
	if r.checked {
		return nil
	}
	for key, name := range map[string]string{"device_column": r.device, "change_column": r.change, "deleted_column": r.deleted} {
		if name != "" && !has(columns, name) {
			return fmt.Errorf("the query has no column %q, which is %s", name, key)
		}
	}
	r.checked = true
	return nil
}

func has(columns []pgconn.FieldDescription, name string) bool {
	for _, c := range columns {
		if c.Name == name {
			return true
		}
	}
	return false
}

// read returns a row, and the text of its change column.
func (r *rowReader) read(columns []pgconn.FieldDescription, values [][]byte) (out row.Row, change string) {
	r.labels = r.labels[:0]
	for i, c := range columns {
		v := values[i]
		if v == nil {
			if c.Name == r.device {
				out.Fault = "the device is NULL"
			}
			continue
		}
		text := string(v)
		if c.DataTypeOID == oidBool {
			text = map[string]string{"t": "true", "f": "false"}[text]
		}
		switch {
		case c.Name == r.device:
			out.Device = text
		case c.Name == r.change:
			change = text
		case c.Name == r.deleted:
			out.Gone = text != "false"
		case c.DataTypeOID == oidJSON || c.DataTypeOID == oidJSONB:
			if fault := r.object(c.Name, v); fault != "" && out.Fault == "" {
				out.Fault = fault
			}
		default:
			r.labels = append(r.labels, event.Label{Name: c.Name, Value: text})
		}
	}
	out.Labels = r.labels
	if out.Fault != "" {
		out.Gone = false // nobody knows
	}
	return out, change
}

// object adds the members of a column of type json.
func (r *rowReader) object(column string, text []byte) string {
	if column != "labels" {
		return fmt.Sprintf("column %q is JSON: only one named labels may be; take a member of it by ->>", column)
	}
	var members map[string]any
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	if err := d.Decode(&members); err != nil {
		return "column labels: expected an object of labels"
	}
	for name, value := range members {
		switch v := value.(type) {
		case string:
			r.labels = append(r.labels, event.Label{Name: name, Value: v})
		case json.Number, bool:
			r.labels = append(r.labels, event.Label{Name: name, Value: fmt.Sprint(v)})
		case nil:
		default:
			return fmt.Sprintf("column labels: label %.64q: expected a string, a number or a boolean", name)
		}
	}
	return ""
}

// quote quotes the name of a column or channel.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

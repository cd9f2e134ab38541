package postgres

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock-io/penstock/sink"
)

// maxDetail bounds the server's words that are kept.
const maxDetail = 500

// classify makes a *sink.Refused of what the server says of the data, by the
// class of its SQLSTATE: 22 (it is not a value of the type), 23 (a constraint
// forbids it), 54 (it is too large), and P0001 (a trigger of the user raised
// it). All else may pass another time: the server is away, overloaded, full,
// read-only or not set up.
func (w *Writer) classify(what string, err error) error {
	var pe *pgconn.PgError
	if errors.As(err, &pe) && refused(pe.Code) {
		return &sink.Refused{Detail: words(pe)}
	}
	return w.explain(what, err)
}

func refused(code string) bool {
	switch {
	case strings.HasPrefix(code, "22"), strings.HasPrefix(code, "23"), strings.HasPrefix(code, "54"), code == "P0001":
		return true
	}
	return false
}

// explain adds what the operator can do about an error.
func (w *Writer) explain(what string, err error) error {
	err = fmt.Errorf("%s: %w", what, err)
	var pe *pgconn.PgError
	if !errors.As(err, &pe) {
		return err
	}
	switch pe.Code {
	case "42P01", "3F000": // undefined table, undefined schema
		return fmt.Errorf("%w; run: penstock sink migrate %s", err, w.name)
	case "42501": // insufficient privilege
		return fmt.Errorf("%w; docs/postgres.md lists the rights that are needed", err)
	}
	return err
}

// words is what the server said, without secrets: there are none in it but
// the row.
func words(pe *pgconn.PgError) string {
	text := pe.Message
	if pe.Detail != "" {
		text += ": " + pe.Detail
	}
	if pe.ConstraintName != "" && !strings.Contains(text, pe.ConstraintName) {
		text += " (" + pe.ConstraintName + ")"
	}
	if len(text) > maxDetail {
		text = strings.ToValidUTF8(text[:maxDetail], "") + "…"
	}
	return fmt.Sprintf("%s (SQLSTATE %s)", text, pe.Code)
}

package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// seriesPerStatement bounds what is looked up or created at once.
const seriesPerStatement = 5000

// resolve returns the numbers of series in the order of list, creating those
// that the database does not have, and adds them to known. What it has created
// stays, whatever becomes of the samples.
func (w *Writer) resolve(ctx context.Context, pg *pgconn.PgConn, known *numbers, list []newSeries) ([]int64, error) {
	numbers := make([]int64, 0, len(list))
	for len(list) > 0 {
		n := min(len(list), seriesPerStatement)
		ids, err := w.resolveSome(ctx, pg, list[:n])
		if err != nil {
			return nil, err
		}
		for _, s := range list[:n] {
			id := ids[s.key.String()]
			known.add(s.key, id)
			numbers = append(numbers, id)
		}
		list = list[n:]
	}
	return numbers, nil
}

// resolveSome looks the series up and creates what is missing. It looks up
// once more what somebody else has created in between.
func (w *Writer) resolveSome(ctx context.Context, pg *pgconn.PgConn, list []newSeries) (map[string]int64, error) {
	ids := make(map[string]int64, len(list))
	missing := func() []newSeries {
		var rest []newSeries
		for _, s := range list {
			if ids[s.key.String()] == 0 {
				rest = append(rest, s)
			}
		}
		return rest
	}
	if err := w.ask(ctx, pg, ids, w.sql.find, keys(list)); err != nil {
		return nil, err
	}
	if rest := missing(); len(rest) > 0 {
		before := len(ids)
		devices, names, labels := make([]string, len(rest)), make([]string, len(rest)), make([]string, len(rest))
		for i, s := range rest {
			devices[i], names[i], labels[i] = s.device, s.name, s.labels
		}
		if err := w.ask(ctx, pg, ids, w.sql.create, keys(rest), devices, names, labels); err != nil {
			return nil, err
		}
		w.m.series.Add(len(ids) - before)
	}
	if rest := missing(); len(rest) > 0 {
		if err := w.ask(ctx, pg, ids, w.sql.find, keys(rest)); err != nil {
			return nil, err
		}
	}
	if rest := missing(); len(rest) > 0 {
		return nil, fmt.Errorf("cannot create series: %d of them are gone again", len(rest))
	}
	return ids, nil
}

func keys(list []newSeries) []string {
	keys := make([]string, len(list))
	for i, s := range list {
		keys[i] = s.key.String()
	}
	return keys
}

// ask runs a statement whose parameters are arrays of text and whose rows are
// keys and numbers, in a transaction of its own, and adds the rows to ids.
func (w *Writer) ask(ctx context.Context, pg *pgconn.PgConn, ids map[string]int64, sql string, params ...[]string) error {
	values := make([][]byte, len(params))
	types := pgtype.NewMap()
	for i, p := range params {
		v, err := types.Encode(pgtype.TextArrayOID, pgtype.TextFormatCode, p, nil)
		if err != nil {
			return fmt.Errorf("cannot encode series: %w", err)
		}
		values[i] = v
	}
	if _, err := one(pg.Exec(ctx, w.sql.timeoutsOnly)); err != nil {
		return w.explain("cannot begin", err)
	}
	rows := pg.ExecParams(ctx, sql, values, nil, nil, nil)
	for rows.NextRow() {
		var id int64
		if _, err := fmt.Sscan(string(rows.Values()[1]), &id); err != nil {
			_, _ = rows.Close() // the number is what is wrong
			return fmt.Errorf("cannot read a series' number: %w", err)
		}
		ids[string(rows.Values()[0])] = id
	}
	if _, err := rows.Close(); err != nil {
		err = w.classify("cannot look up or create series", err)
		if rolled := w.rollback(ctx, pg); rolled != nil {
			err = fmt.Errorf("%w (%w)", err, rolled)
		}
		return err
	}
	if _, err := one(pg.Exec(ctx, "COMMIT")); err != nil {
		return w.classify("cannot create series", err)
	}
	return nil
}

package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/settings"
)

// Writer writes into one set of tables. It is safe for concurrent use.
type Writer struct {
	name string
	cfg  Config
	sql  statements
	pool *pgxpool.Pool
	log  *slog.Logger
	m    *writerMetrics

	numbers atomic.Pointer[numbers] // nil until the database's state is known
	windows chan *pendingRows       // those that no write uses
}

// New returns a writer for the sink of that name. It does not connect, so a
// server that is away is no error here.
func New(name string, cfg Config, log *slog.Logger, set *metrics.Set) (*Writer, error) {
	if err := settings.Validate(cfg); err != nil {
		return nil, err
	}
	dsn, err := cfg.Open(log.With("sink", name))
	if err != nil {
		return nil, err
	}
	pc, err := cfg.pool(dsn)
	if err != nil {
		return nil, err
	}
	// A password that was changed in the file holds for the next connection.
	pc.BeforeConnect = func(_ context.Context, cc *pgx.ConnConfig) error {
		if cfg.DSNFile == "" {
			return nil
		}
		fresh, err := cfg.pool(dsn)
		if err == nil {
			*cc = *fresh.ConnConfig.Copy()
		}
		return err
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), pc)
	if err != nil {
		return nil, err
	}
	w := &Writer{
		name:    name,
		cfg:     cfg,
		sql:     newStatements(cfg),
		pool:    pool,
		log:     log.With("sink", name),
		windows: make(chan *pendingRows, cfg.Connections),
	}
	w.m = newWriterMetrics(w, set)
	return w, nil
}

// Write borrows the batches and inserts their samples, in one transaction.
// When it returns nil they are as durable as the server makes a commit. It may
// be repeated. An error is a *sink.Refused where the server will never take
// something of it.
func (w *Writer) Write(ctx context.Context, batches []*event.Batch) error {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.Timeout)
	defer cancel()
	conn, err := w.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("cannot connect: %w", err)
	}
	defer conn.Release() // which closes it if something is left undone
	var win *pendingRows
	select {
	case win = <-w.windows:
	default:
		win = newPendingRows()
	}
	if err := w.write(ctx, conn.Conn().PgConn(), win, batches); err != nil {
		// The pendingRows is left to the garbage collector: after an error pgx may
		// go on reading from it.
		return err
	}
	win.reset()
	select {
	case w.windows <- win:
	default:
	}
	return nil
}

// maxMoves bounds how often one write begins again because the database's
// state changed below it. Each time somebody has changed series meanwhile.
const maxMoves = 5

func (w *Writer) write(ctx context.Context, pg *pgconn.PgConn, win *pendingRows, batches []*event.Batch) error {
	for range maxMoves {
		known := w.numbers.Load()
		if known == nil {
			state, err := w.begin(ctx, pg)
			if err = errors.Join(err, w.rollback(ctx, pg)); err != nil {
				return err
			}
			w.moved(nil, state)
			continue
		}
		if err := win.gather(known, batches); err != nil {
			return err
		}
		numbers, err := w.resolve(ctx, pg, known, win.missing)
		if err != nil {
			return err
		}
		win.order(numbers)
		switch state, err := w.insert(ctx, pg, known.state, win.rows); {
		case err != nil:
			return err
		case state == known.state:
			return nil
		default:
			w.moved(known, state)
		}
	}
	return errors.New("series are being changed or deleted all the time")
}

// moved drops the numbers that were known in another state of the database.
func (w *Writer) moved(known *numbers, state string) {
	if w.numbers.CompareAndSwap(known, newNumbers(state, w.cfg.SeriesCache)) && known != nil {
		w.m.moves.Inc()
		w.log.Info("series were changed or deleted, or the server is another; their numbers are looked up again")
	}
}

// insert puts the rows into the samples if the state of the database is the
// one in which the numbers of their series are right. It returns the state.
func (w *Writer) insert(ctx context.Context, pg *pgconn.PgConn, expected string, rows []row) (state string, err error) {
	state, err = w.begin(ctx, pg)
	if err != nil || state != expected {
		return state, errors.Join(err, w.rollback(ctx, pg))
	}
	if _, err := pg.CopyFrom(ctx, &rowReader{rows: rows}, w.sql.copy); err != nil {
		return "", errors.Join(w.classify("cannot copy the samples", err), w.rollback(ctx, pg))
	}
	if _, err := one(pg.Exec(ctx, w.sql.finish)); err != nil {
		return "", errors.Join(w.classify("cannot insert the samples", err), w.rollback(ctx, pg))
	}
	if pg.TxStatus() != 'I' {
		return "", errors.New("cannot insert the samples: the server did not end the transaction")
	}
	return state, nil
}

// begin begins a transaction and returns what identifies the state of the
// database: while the transaction lasts no number of a series becomes wrong.
func (w *Writer) begin(ctx context.Context, pg *pgconn.PgConn) (state string, err error) {
	answer, err := one(pg.Exec(ctx, w.sql.begin))
	if err != nil {
		return "", w.explain("cannot begin", err)
	}
	var version int
	if _, err := fmt.Sscanf(answer, "%d %s", &version, &state); err != nil {
		return "", fmt.Errorf("cannot begin: the server answers %q: %w", answer, err)
	}
	switch {
	case version < len(migrations):
		return "", fmt.Errorf("the tables have version %d, and %d is needed; run: penstock sink migrate %s", version, len(migrations), w.name)
	case version > len(migrations):
		return "", fmt.Errorf("the tables have version %d, and this program knows %d at most; a newer one has migrated them", version, len(migrations))
	}
	return state, nil
}

// rollback ends the transaction if there is one and the connection lives.
func (w *Writer) rollback(ctx context.Context, pg *pgconn.PgConn) error {
	if pg.IsClosed() || pg.TxStatus() == 'I' || ctx.Err() != nil {
		return nil
	}
	_, err := one(pg.Exec(ctx, "ROLLBACK"))
	if err != nil {
		return fmt.Errorf("cannot roll back: %w", err)
	}
	return nil
}

// Check connects and returns nil if the tables are there and may be used.
func (w *Writer) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.Timeout)
	defer cancel()
	conn, err := w.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("cannot connect: %w", err)
	}
	defer conn.Release()
	pg := conn.Conn().PgConn()
	state, err := w.begin(ctx, pg)
	if err == nil {
		// Nothing is written, but the rights to do so are needed.
		_, err = w.insert(ctx, pg, state, nil)
	}
	return errors.Join(err, w.rollback(ctx, pg))
}

// Sync returns nil: what Write has returned for is committed.
func (w *Writer) Sync(context.Context) error { return nil }

// MemoryLimit returns the bytes that the numbers of series may take.
func (w *Writer) MemoryLimit() int64 { return int64(w.cfg.SeriesCache) * 50 }

// Close ends all connections. It waits for writes that run.
func (w *Writer) Close() error {
	w.pool.Close()
	return nil
}

type writerMetrics struct {
	series *metrics.Counter
	moves  *metrics.Counter
}

func newWriterMetrics(w *Writer, set *metrics.Set) *writerMetrics {
	label := fmt.Sprintf("{sink=%q}", w.name)
	set.NewGauge("penstock_postgres_series_cached"+label, func() float64 {
		if n := w.numbers.Load(); n != nil {
			return float64(n.size())
		}
		return 0
	})
	return &writerMetrics{
		series: set.NewCounter("penstock_postgres_new_series_total" + label),
		moves:  set.NewCounter("penstock_postgres_series_forgotten_total" + label),
	}
}

// milliseconds is d for a setting of the server.
func milliseconds(d time.Duration) int64 { return max(d.Milliseconds(), 1) }

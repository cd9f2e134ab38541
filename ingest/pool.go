package ingest

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
)

// queueLength bounds the number of queued batches besides their bytes: it is
// the size of the channel, 512 KiB of pointers.
const queueLength = 64 << 10

// pool is a bounded queue of batches and the workers that empty it. The unit
// of work is a request's batch. The bound is in bytes and holds until the
// batch is done.
type pool struct {
	work    func(*event.Batch) // takes the batch; done gives it back
	queue   chan *event.Batch
	limit   int64
	bytes   atomic.Int64
	workers sync.WaitGroup

	overflow    *metrics.Counter
	queueStage  *metrics.PrometheusHistogram
	enrichStage *metrics.PrometheusHistogram
}

func newPool(cfg Config, work func(*event.Batch), set *metrics.Set) *pool {
	p := &pool{
		work:        work,
		queue:       make(chan *event.Batch, queueLength),
		limit:       cfg.QueueBytes,
		overflow:    set.NewCounter("penstock_pool_overflow_batches_total"),
		queueStage:  set.NewPrometheusHistogramExt(`penstock_stage_seconds{stage="queue"}`, event.StageBuckets()),
		enrichStage: set.NewPrometheusHistogramExt(`penstock_stage_seconds{stage="enrich"}`, event.StageBuckets()),
	}
	set.NewGauge("penstock_pool_queue_bytes", func() float64 { return float64(p.bytes.Load()) })
	set.NewGauge("penstock_pool_queue_limit_bytes", func() float64 { return float64(p.limit) })
	set.NewGauge("penstock_pool_queue_batches", func() float64 { return float64(len(p.queue)) })
	for range cfg.workers() {
		p.workers.Go(p.run)
	}
	return p
}

// push borrows b and retains it if the queue has room. It does not block.
func (p *pool) push(b *event.Batch) bool {
	size := int64(b.Size())
	if p.bytes.Add(size) > p.limit {
		p.bytes.Add(-size)
		p.overflow.Inc()
		return false
	}
	b.Retain()
	b.Queued = event.Now()
	select {
	case p.queue <- b:
		return true
	default:
		p.bytes.Add(-size)
		p.overflow.Inc()
		b.Release()
		return false
	}
}

func (p *pool) run() {
	for b := range p.queue {
		start := event.Now()
		p.queueStage.Update(float64(start-b.Queued) / float64(time.Second))
		p.work(b)
		p.enrichStage.Update(float64(event.Now()-start) / float64(time.Second))
	}
}

// done takes a batch that is in memory no more on behalf of the pool.
func (p *pool) done(b *event.Batch) {
	p.bytes.Add(-int64(b.Size()))
	b.Release()
}

// close waits until the workers have emptied the queue. Nobody may push any
// more.
func (p *pool) close() {
	close(p.queue)
	p.workers.Wait()
}

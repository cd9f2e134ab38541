package limit

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/penstock-io/penstock/ingest/event"
)

// receipt is what was taken for a batch: from its tenant, and from each of its
// devices for the events of that one.
type receipt struct {
	pool   *sync.Pool
	payers []payer
	index  []int32 // where in payers a device is, plus 1, by key
}

// payer is one that is charged. Its name is the batch's.
type payer struct {
	who    int
	name   string
	table  *table
	key    uint64
	class  *class
	amount [rates]int // what the request has
	paid   [rates]payment
}

// payment is what was taken, and where.
type payment struct {
	slot
	rate int
	cost int64
}

func (p *payment) times() *atomic.Int64 { return &p.b.times[p.rate][p.i] }

// Receipts of requests with more devices are not pooled.
const maxPooled = 1 << 14

// Keep ends the receipt: what was taken stays taken.
func (r *receipt) Keep() {
	if cap(r.payers) > maxPooled {
		r.payers = nil
	}
	if cap(r.index) > 4*maxPooled {
		r.index = nil
	}
	clear(r.payers) // they have strings of the batch
	r.payers = r.payers[:0]
	r.pool.Put(r)
}

// Return ends the receipt and gives back what was taken.
func (r *receipt) Return() {
	for i := range r.payers {
		for rate := range rates {
			if p := &r.payers[i].paid[rate]; p.cost > 0 {
				p.giveBack(rate, p.cost)
			}
		}
	}
	r.Keep()
}

func (r *receipt) addTenant(t *table, p *policy, b *event.Batch, tenant string, now int64) {
	key := t.key(t.tenant(tenant), "")
	x := r.add(t, key, ofTenant, tenant, now)
	class := x.find(p, now, func() int { return p.tenantClass(tenant) })
	x.class = &p.tenants[class]
	x.amount[byEvents] = len(b.Events)
	x.price(b)
}

// addDevices makes a payer of each device of b. Events of one device mostly
// lie side by side, and else are found by the index: one charge for all of
// them, because several small ones could go where their sum would not, and
// would be refused where their sum could never be less.
func (r *receipt) addDevices(t *table, p *policy, b *event.Batch, tenant string, now int64) {
	first := len(r.payers)
	hash := t.tenant(tenant)
	var x *payer
	for i := range b.Events {
		device := b.Events[i].Device
		if x != nil && x.name == device {
			x.amount[byEvents]++
			continue
		}
		key := t.key(hash, device)
		if x == nil {
			x = r.add(t, key, ofDevice, device, now)
		} else {
			x = r.lookUp(t, key, first, device, len(b.Events), now)
		}
		x.amount[byEvents]++
	}
	for i := first; i < len(r.payers); i++ {
		x := &r.payers[i]
		class := x.find(p, now, func() int { return p.deviceClass(tenant, x.name) })
		x.class = &p.devices[class]
		x.price(b)
	}
}

// lookUp returns the payer of a device that is not the one before it.
func (r *receipt) lookUp(t *table, key uint64, first int, device string, events int, now int64) *payer {
	if len(r.payers) == first+1 {
		r.begin(events, first)
	}
	mask := uint64(len(r.index) - 1)
	for at := key & mask; ; at = (at + 1) & mask {
		switch n := int(r.index[at]); {
		case n == 0:
			r.index[at] = int32(len(r.payers) + 1)
			return r.add(t, key, ofDevice, device, now)
		case r.payers[n-1].key == key:
			return &r.payers[n-1]
		}
	}
}

// begin empties the index for so many events, and enters the first device.
func (r *receipt) begin(events, first int) {
	n := 1 << bits.Len(uint(2*events))
	if n > cap(r.index) {
		r.index = make([]int32, n)
	}
	r.index = r.index[:n]
	clear(r.index)
	r.index[r.payers[first].key&uint64(n-1)] = int32(first + 1)
}

func (r *receipt) add(t *table, key uint64, who int, name string, now int64) *payer {
	r.payers = append(r.payers, payer{who: who, name: name, table: t, key: key})
	x := &r.payers[len(r.payers)-1]
	x.paid[byEvents].slot = t.slot(key, now)
	x.paid[byBytes] = payment{slot: x.paid[byEvents].slot, rate: byBytes}
	return x
}

// find returns the class of x, which it notes in its slot.
func (x *payer) find(p *policy, now int64, resolve func() int) int {
	s := x.paid[byEvents].slot
	class, ok := s.class(p.generation)
	if !ok {
		class = resolve()
		s.setClass(p.generation, class)
	}
	return class
}

// price sets the bytes of x: its events' part of the body.
func (x *payer) price(b *event.Batch) {
	total := int64(max(b.Total, len(b.Events), 1))
	x.amount[byBytes] = int((int64(len(b.Body))*int64(x.amount[byEvents]) + total - 1) / total)
}

// pay charges all payers. If one cannot pay, the rest is not charged either,
// but asked, so that the worst shortage is known. What was charged stays so
// until Return.
func (r *receipt) pay(now int64) (worst shortage) {
	for i := range r.payers {
		x := &r.payers[i]
		for rate := range rates {
			bound := &x.class[rate]
			if bound.cost == 0 {
				continue
			}
			cost := bound.price(x.amount[rate])
			var wait int64
			if worst.wait > 0 {
				wait = x.paid[rate].peek(rate, now, cost, bound.burst)
			} else {
				wait = x.charge(rate, now, cost, bound.burst)
			}
			if wait > worst.wait {
				worst = shortage{wait, rate, x}
			}
		}
	}
	return worst
}

// charge takes a cost, or returns how long it is until it would go.
func (x *payer) charge(rate int, now, cost, burst int64) int64 {
	for {
		wait, ok := x.paid[rate].take(rate, now, cost, burst)
		switch {
		case !ok:
			x.paid[rate].slot = x.table.slot(x.key, now)
			continue
		case wait == 0:
			x.paid[rate].cost = cost
		}
		return wait
	}
}

// nearest describes the limit of which the least part is left.
func (r *receipt) nearest(now int64) (q event.Quota) {
	least := 2.0
	for i := range r.payers {
		for rate := range rates {
			if r.payers[i].class[rate].cost == 0 {
				continue
			}
			x := r.payers[i].quota(rate, now)
			if left := 1 - float64(x.Reset)/float64(x.Window); left < least {
				q, least = x, left
			}
		}
	}
	return q
}

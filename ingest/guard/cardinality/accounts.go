package cardinality

import (
	"strings"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/guard/series"
)

// account counts the active series of one device, metric or tenant.
type account struct {
	open   bool
	name   string // the account's own copy
	tenant uint32 // whose it is, a place in Guard.tenants; not of a tenant
	series uint32

	// New series and refused ones of this generation and of the last.
	began, beganBefore     uint32
	refused, refusedBefore uint32

	// tags is nil before the account has as many series as make it worth
	// while.
	tags *growth
}

// turn begins a generation.
func (a *account) turn(trackFrom int) {
	a.began, a.beganBefore = 0, a.began
	a.refused, a.refusedBefore = 0, a.refused
	if a.tags == nil {
		return
	}
	if int(a.series) < trackFrom {
		a.tags = nil
		return
	}
	a.tags.turn()
}

// accounts are those of all devices, of all metrics or of all tenants. There
// is one for each that has an active series, so they are at most as many as
// the series. Guard.mu guards them.
//
// They are found by a hash of tenant and name: two that share it, of which
// there is a chance of 1 to 2^64/n², share an account.
type accounts struct {
	limit int // series of each, 0 is none
	by    map[uint64]uint32
	list  []account
	free  []uint32
	// trackFrom is with how many series an account begins to look at tags.
	trackFrom int
}

// maxTrackFrom bounds the memory for tags: one account in so many series.
const maxTrackFrom = 64

func newAccounts(limit int) accounts {
	trackFrom := maxTrackFrom
	if limit > 0 {
		// Some way before the limit, so that there is something to be told
		// when it is reached.
		trackFrom = min(max(limit*3/4, 1), maxTrackFrom)
	}
	return accounts{limit: limit, by: map[uint64]uint32{}, trackFrom: trackFrom}
}

// accountKey borrows name.
func accountKey(tenant uint32, name string) uint64 {
	return series.Of(uint64(tenant)<<32|0x5bd1e995, series.Device(name))
}

// open returns the place of an account, which it opens if there is none. It
// clones name.
func (a *accounts) open(key uint64, tenant uint32, name string) uint32 {
	if place, ok := a.by[key]; ok {
		return place
	}
	place := uint32(len(a.list))
	if n := len(a.free); n > 0 {
		place, a.free = a.free[n-1], a.free[:n-1]
	} else {
		a.list = append(a.list, account{})
	}
	a.list[place] = account{open: true, name: strings.Clone(name), tenant: tenant}
	a.by[key] = place
	return place
}

// over reports whether n more series would be more than the account at place
// may have. there is whether there is such an account.
func (a *accounts) over(place uint32, there bool, n int) bool {
	if a.limit == 0 {
		return false
	}
	if there {
		n += int(a.list[place].series)
	}
	return n > a.limit
}

// drop takes a series out of an account.
func (a *accounts) drop(place uint32) { a.list[place].series-- }

// turn begins a generation and closes accounts that have no series any more.
// key tells under which key an account is.
func (a *accounts) turn(key func(*account) uint64) {
	for i := range a.list {
		acc := &a.list[i]
		if !acc.open {
			continue
		}
		acc.turn(a.trackFrom)
		if acc.series == 0 {
			delete(a.by, key(acc))
			*acc = account{}
			a.free = append(a.free, uint32(i))
		}
	}
	if len(a.by) == 0 {
		// Maps do not shrink by themselves.
		a.by, a.list, a.free = map[uint64]uint32{}, nil, nil
	}
}

// refuse counts an event that was refused because of the account's limit.
func (a *accounts) refuse(place uint32, device string, tags []event.Label, withDevice bool) {
	acc := &a.list[place]
	acc.refused++
	if acc.tags == nil {
		acc.tags = &growth{}
	}
	acc.tags.note(device, tags, withDevice)
}

// add counts a series in the account at place.
func (a *accounts) add(place uint32, device string, tags []event.Label, withDevice bool) {
	acc := &a.list[place]
	acc.series++
	acc.began++
	if acc.tags == nil {
		if int(acc.series) < a.trackFrom {
			return
		}
		acc.tags = &growth{}
	}
	acc.tags.note(device, tags, withDevice)
}

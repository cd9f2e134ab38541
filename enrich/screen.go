package enrich

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/penstock-io/penstock/ingest/event"
)

// Screen rejects the events of unknown devices where that is the policy, and
// does nothing otherwise. It belongs between decoding and journaling, while
// the caller is the batch's only owner and the request has not been answered.
//
// A device that leaves the table between Screen and Enrich is stored without
// labels: its event was accepted.
func (t *Table) Screen(b *event.Batch) {
	if !t.reject || len(b.Events) == 0 {
		return
	}
	devices := t.current.Load().devices
	device, detail := "", ""
	known := false
	listed := len(b.Rejections)
	b.Keep(func(e *event.Event) bool {
		if device == "" || e.Device != device {
			device, detail = e.Device, ""
			if _, known = devices.Load(device); !known && t.lookups != nil {
				// A device that nobody has been able to look up yet is let
				// through: a refusal would be final.
				_, found, undecided := t.lookups.get(device)
				known = found || undecided
			}
		}
		if known {
			return true
		}
		r := b.Reject(int(e.Index), event.UnknownDevice)
		if r == nil {
			return false
		}
		if detail == "" {
			detail = fmt.Sprintf("device %.64q is not in the enrichment table", device)
		}
		r.Pointer, r.Detail = "/device", detail
		return false
	})
	if listed > 0 && len(b.Rejections) > listed {
		slices.SortFunc(b.Rejections, func(x, y event.Rejection) int { return cmp.Compare(x.Index, y.Index) })
	}
}

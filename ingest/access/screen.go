package access

import (
	"fmt"

	"github.com/penstock-io/penstock/ingest/event"
)

// Screen rejects events of devices that the sender of b does not speak for,
// and those that name another tenant; the others get the tenant as a tag. If
// the sender speaks for no device of b, the whole request is refused. It
// borrows b.
func (a *Access) Screen(b *event.Batch) error {
	tag, tenant := a.cfg.TenantTag, ""
	if b.Sender != nil {
		tenant = b.Sender.Tenant
	}
	denied, foreign := 0, 0
	device, may := "", false
	for i := range b.Events {
		e := &b.Events[i]
		if i == 0 || e.Device != device {
			device, may = e.Device, b.Sender.MaySend(e.Device)
		}
		switch {
		case !may:
			denied++
		case !mayTag(b, e, tag, tenant):
			foreign++
		}
	}
	if denied > 0 && denied == len(b.Events) {
		return &event.Refusal{Cause: event.NotAllowed, Detail: fmt.Sprintf(
			"the key does not speak for device %.64q, nor for any other one of the request", device)}
	}
	if denied+foreign > 0 {
		a.reject(b, tag, tenant)
	}
	if tenant != "" {
		b.TagAll(tag, tenant)
	}
	return nil
}

// reject rejects what Screen has found. It may allocate.
func (a *Access) reject(b *event.Batch, tag, tenant string) {
	listed := len(b.Rejections)
	b.Keep(func(e *event.Event) bool {
		switch {
		case !b.Sender.MaySend(e.Device):
			if r := b.Reject(int(e.Index), event.DeviceNotAllowed); r != nil {
				r.Pointer, r.Detail = "/device", fmt.Sprintf("the key does not speak for device %.64q", e.Device)
			}
		case !mayTag(b, e, tag, tenant):
			if r := b.Reject(int(e.Index), event.TenantNotAllowed); r != nil {
				r.Pointer = "/tags/" + tag
				r.Detail = fmt.Sprintf("%s is set from the sender's key; leave it out", tag)
			}
		default:
			return true
		}
		return false
	})
	if listed > 0 {
		b.SortRejections()
	}
}

// mayTag reports whether the event does not name a tenant, or its sender's.
func mayTag(b *event.Batch, e *event.Event, tag, tenant string) bool {
	for _, t := range b.Tags(e) {
		if t.Name == tag {
			return tenant != "" && t.Value == tenant
		}
	}
	return true
}

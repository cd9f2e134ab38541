package cardinality

import (
	"fmt"

	"github.com/penstock-io/penstock/ingest/event"
)

// explain returns where the cause of a refusal is in the event, and what it
// is, for the device's owner. acc is the account whose limit is reached.
func explain(by limit, cfg Config, acc *account, begins int, device string, tags []event.Label, field string) (pointer, detail string) {
	var whose, key string
	var most int
	switch by {
	case byDeviceLimit:
		whose, key, most = fmt.Sprintf("device %.64q", device), "per_device", cfg.PerDevice
	case byTenantLimit:
		whose, key, most = "the tenant", "per_tenant", cfg.PerTenant
		if acc.name != "" {
			whose = fmt.Sprintf("tenant %.64q", acc.name)
		}
	case byMetricLimit:
		whose, key, most = fmt.Sprintf("metric %.64q", field), "per_metric", cfg.PerMetric
	default:
		whose, key, most = "the service", "max_series", cfg.MaxSeries
	}
	detail = fmt.Sprintf("%s may have %d active series (guard.cardinality.%s), and the event would begin %d more",
		whose, most, key, begins)
	pointer = "/values/" + field
	if acc.tags == nil {
		return pointer, detail
	}
	name, values := acc.tags.most()
	if name == "" {
		return pointer, detail
	}
	what := fmt.Sprintf("tag %q", name)
	if name == byDevice {
		what, pointer = "the device's name", "/device"
	}
	for i := range tags {
		if tags[i].Name == name {
			pointer = "/tags/" + name // a tag's name has nothing to escape
		}
	}
	detail += fmt.Sprintf("; %s grows most", what)
	if values > 1 {
		detail += fmt.Sprintf(", by about %d values", values)
	}
	return pointer, detail
}

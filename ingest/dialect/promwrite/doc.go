// Package promwrite is Prometheus' remote write, 1.0 and 2.0, as a dialect:
// what Prometheus, its agent mode, vmagent, Grafana Alloy and many others
// send to /api/v1/write and /api/v1/push.
//
// # From samples to events
//
// Each sample becomes one event with one field: the field is the metric, the
// tags are the series' other labels. The samples of a series share their
// tags. Samples of different series are not put together, although those of
// one scrape have device and time in common: senders shard by series, so
// neighbours hardly ever have the same labels.
//
// The device is the first label of Config.DeviceLabels that the series has.
// Only a label `device` is taken out of the tags, because the device is stored
// under that name; any other one stays, so that the labels in the store are
// those of the sender. Where the device comes from another label and the
// series has a label `device` as well, that one is renamed exported_device, as
// Prometheus renames what collides with a target's own labels.
//
// # What is skipped, and what is rejected
//
//   - A stale marker is the end of a series, which no store here keeps. It is
//     skipped, and counted as written, or the sender would see a loss.
//   - Any other NaN is skipped in the same way: it says that there is no
//     value. Infinities are stored.
//   - Exemplars and metadata are skipped, and 0 are counted as written.
//   - Native histograms are rejected, each as one event.
//   - Of a series whose labels break a rule each sample is rejected.
//
// Colons are allowed in the names of metrics, where they mark what recording
// rules made. Bytes that names are not made of become underscores, which is
// Prometheus' own escaping for stores that know no UTF-8 names. If two labels
// of a series have the same name after that, its samples are rejected.
//
// # Memory
//
// Decoding does not allocate per sample or series in the steady state. The
// strings of the batch alias its body. What a body can make of itself is
// bounded by the limits on samples, labels of a series, and symbols.
package promwrite

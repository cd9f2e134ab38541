// Package otlp is OTLP/HTTP for metrics as a dialect: what the SDKs and the
// Collector of OpenTelemetry send to /v1/metrics, in protobuf or JSON.
//
// # From data points to events
//
// The device is the first of Config.DeviceAttributes that the resource has.
// Tags are the attributes of the data point and those of the resource that
// Config.ResourceAttributes lists; a point's own win. Names and suffixes are
// those of Prometheus' translation (UnderscoreEscapingWithSuffixes):
// http.server.duration in ms is http_server_duration_milliseconds. A point
// becomes
//
//   - of a gauge or sum: one event with one field;
//   - of a histogram: an event with _sum and _count, and one with _bucket for
//     each bound, cumulative, with the tag le;
//   - of an exponential histogram: the same, with a tag vmrange for each bucket
//     that is not empty, which is the form that the store's engine computes
//     quantiles from;
//   - of a summary: an event with _sum and _count, and one for each quantile
//     with the tag quantile.
//
// # What is skipped, and what is rejected
//
//   - A point with the flag NO_RECORDED_VALUE says that there is no value. It
//     is skipped, like a value that is not a number.
//   - Delta temporality, and none at all, is rejected: what a restart or a
//     repeated request makes of a delta no reader of the store can tell. It is
//     stored as it comes where Config.Delta says so.
//   - Exemplars, descriptions, minimum and maximum, start times and scopes are
//     skipped.
//
// Data points are what the answer counts: an event's index is that of its data
// point.
//
// # Memory
//
// Decoding does not allocate per point in the steady state, but for attributes
// that are lists, maps or bytes. JSON is rewritten as protobuf first, and then
// takes the same way. That makes it at most five times as large: a digit and a
// comma of a list of numbers become nine bytes.
package otlp

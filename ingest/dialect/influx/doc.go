// Package influx is the dialect of InfluxDB: line protocol on the write paths
// of versions 1, 2 and 3, and the few other requests without which their
// clients do not start.
//
// # What is accepted
//
// The grammar is that of influxdata/line-protocol v2, to which a fuzz target
// holds this decoder, with two things more: a comment may hold control
// characters, and a lone carriage return costs its line once.
//
// A line becomes one event. Its device is the value of the first tag of
// Config.DeviceTags that the line has; that tag is not stored a second time.
// The other tags are the event's. Integers, unsigned integers, floats and
// booleans (0 and 1) are its values, named measurement_field or by the field
// alone (Config.Names). All values are stored as 64-bit floats, so integers
// beyond 2^53 are rounded.
//
// Names of values and tags have a narrower alphabet in the store than in line
// protocol. They are not refused: each byte outside [A-Za-z0-9_] becomes an
// underscore, a leading digit gets one in front, and several leading
// underscores become one. A name that is too long rejects its line. Where two
// fields of a line get the same name, the last one counts, as with two fields
// of the same name.
//
// A string cannot be stored. It is left out and counted
// (penstock_skipped_values_total). A line that holds nothing else is left out
// like a comment, or rejected as no_values, by Config.OnlyStrings.
//
// A line that is rejected costs no other line its place. After a fault of the
// grammar the decoder goes on behind the next newline.
package influx

// A module of its own: the reference implementations that decoding is held to
// bring requirements that are not the program's.
module github.com/penstock-io/penstock/ingest/dialect/oracle

go 1.26.7

require (
	github.com/penstock-io/penstock v0.0.0
	github.com/prometheus/prometheus v0.316.0
	google.golang.org/protobuf v1.36.12
)

require (
	github.com/VictoriaMetrics/easyproto v1.2.0 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/gogo/protobuf v1.3.2 // indirect
	github.com/grafana/regexp v0.0.0-20250905093917-f7b3be9d1853 // indirect
	github.com/prometheus/client_model v0.6.3 // indirect
	github.com/prometheus/common v0.72.1 // indirect
	golang.org/x/text v0.43.0 // indirect
)

replace github.com/penstock-io/penstock => ../../..

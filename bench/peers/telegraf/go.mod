// A module of its own: `make bench-peers` builds Telegraf from it, with the
// plugins that the comparison uses and no others. `go mod tidy` would ask for
// the requirements of all plugins.
module github.com/penstock-io/penstock/bench/peers/telegraf

go 1.26.6

require github.com/influxdata/telegraf v1.37.2

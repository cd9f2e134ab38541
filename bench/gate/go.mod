// A module of its own: its requirements are not the program's.
module github.com/penstock-io/penstock/bench/gate

go 1.26.6

require (
	golang.org/x/perf v0.0.0-20260908200009-22c9c6c9d4da
	golang.org/x/sys v0.48.0
)

require github.com/aclements/go-moremath v0.0.0-20210112150236-f10218a38794 // indirect

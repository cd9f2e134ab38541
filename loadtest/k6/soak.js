// A moderate rate for a long time: DURATION=8h is a night.

import { seconds, whole } from './lib/config.js';
import { body, events, groups } from './lib/bodies.js';
import { send } from './lib/client.js';
import { constant, due, options as frame, turn } from './lib/scenario.js';
import { summary } from './lib/summary.js';

export { setup, teardown } from './lib/scenario.js';

const rate = whole('RATE', 300);
const duration = seconds('DURATION', '30m');

export const options = frame(constant(rate, duration), {
  ack_time: ['p(95)<100', 'p(99)<300'],
  requests_refused: ['count==0'],
  // The machine may pause once in a long run; one in 10,000 is none.
  dropped_iterations: [`count<=${Math.floor(rate * duration / 10000)}`],
});

export default function (data) {
  const i = turn();
  const b = body(i % groups, due(data.t0, i, rate));
  send(b.data, b.headers, events);
}

export const handleSummary = summary('soak', `${rate} requests/s of ${events} events for ${duration} s`);

// One device in a hundred sends half of all events: every other request is of
// the first hundredth of the fleet.

import { seconds, whole } from './lib/config.js';
import { body, events, groups } from './lib/bodies.js';
import { send } from './lib/client.js';
import { constant, due, options as frame, turn } from './lib/scenario.js';
import { summary } from './lib/summary.js';

export { setup, teardown } from './lib/scenario.js';

const rate = whole('RATE', 500);
const duration = seconds('DURATION', '30s');
const hot = Math.max(1, Math.floor(groups / 100));
const cold = Math.max(1, groups - hot);

export const options = frame(constant(rate, duration), {
  ack_time: ['p(95)<100', 'p(99)<300'],
  requests_refused: ['count==0'],
  dropped_iterations: ['count==0'],
});

export default function (data) {
  const i = turn();
  const n = Math.floor(i / 2);
  const group = i % 2 ? n % hot : (hot + n % cold) % groups;
  const b = body(group, due(data.t0, i, rate));
  send(b.data, b.headers, events);
}

export const handleSummary = summary('skew', `${rate} requests/s of ${events} events for ${duration} s, half of them of ${hot * events} of ${groups * events} devices`);

// From a tenth of the rate to all of it within two seconds, for a third of the
// time, and back.

import { seconds, whole } from './lib/config.js';
import { body, events, groups } from './lib/bodies.js';
import { send } from './lib/client.js';
import { options as frame, turn } from './lib/scenario.js';
import { summary } from './lib/summary.js';

export { setup, teardown } from './lib/scenario.js';

const peak = whole('RATE', 1000);
const base = Math.max(1, Math.floor(peak / 10));
const duration = Math.max(9, seconds('DURATION', '30s'));
const third = Math.floor(duration / 3);

export const options = frame({
  executor: 'ramping-arrival-rate',
  startRate: base,
  timeUnit: '1s',
  preAllocatedVUs: 500,
  maxVUs: 500,
  stages: [
    { duration: `${third}s`, target: base },
    { duration: '1s', target: peak },
    { duration: `${duration - 2 * third - 1}s`, target: peak },
    { duration: '1s', target: base },
    { duration: `${third - 1}s`, target: base },
  ],
}, {
  ack_time: ['p(95)<150', 'p(99)<400'],
  requests_refused: ['count==0'],
  dropped_iterations: ['count==0'],
});

export default function () {
  const b = body(turn() % groups, Date.now());
  send(b.data, b.headers, events);
}

export const handleSummary = summary('spike', `${base}, then ${peak}, then ${base} requests/s of ${events} events, ${duration} s in all`);

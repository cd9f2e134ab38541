// Three times what the service can take. What it accepts it must keep, and
// what it cannot take it must refuse with 429 or 503 and Retry-After, at once
// and without anything worse.
//
// With PROBE the same requests come in a closed loop of four, whose rate is
// what the service can take. The script `run` does that first. Bodies are
// large and compressed, because that is how k6 can outrun the service on the
// same machine.

import { seconds, whole } from './lib/config.js';
import { body, events, groups } from './lib/bodies.js';
import { send } from './lib/client.js';
import { constant, options as frame, turn } from './lib/scenario.js';
import { summary } from './lib/summary.js';
import { Trend } from 'k6/metrics';

export { setup, teardown } from './lib/scenario.js';

const probe = !!__ENV.PROBE;
const rate = whole('RATE', 150);
const duration = seconds('DURATION', '20s');
const refusalTime = new Trend('refusal_time', true);

export const options = probe
  ? frame({ executor: 'constant-vus', vus: 4, duration: '8s' }, {})
  : frame(constant(rate, duration, 900), {
    // Some work is done all the time, and in reasonable time.
    requests_acknowledged: [`count>=${Math.floor(rate * duration / 10)}`],
    ack_time: ['p(95)<5000'],
    // That it is an overload at all.
    requests_refused: ['count>0'],
    refusal_time: ['p(95)<5000'],
    // k6 and the service share the cores, and each of k6's connections waits
    // for its answer. At least twice the capacity has to get out.
    dropped_iterations: [`count<=${Math.floor(rate * duration / 3)}`],
  });

export default function () {
  const b = body(turn() % groups, Date.now());
  const res = send(b.data, b.headers, events);
  if (res.status === 429 || res.status === 503) {
    refusalTime.add(res.timings.duration);
  }
}

const report = summary('overload', `${rate} requests/s of ${events} events for ${duration} s, three times the capacity`);

export function handleSummary(data) {
  if (!probe) {
    return report(data);
  }
  const out = summary('capacity', `4 connections in a closed loop, ${events} events a request`)(data);
  const done = JSON.parse(out[__ENV.OUT]);
  out[__ENV.OUT] = JSON.stringify({ ...done, triple_rate: Math.ceil(3 * done.requests.acknowledged / done.load_seconds) }, null, 2) + '\n';
  return out;
}

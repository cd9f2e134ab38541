// What one tenant's flood costs another. First the quiet tenant sends alone,
// at a constant rate; then again, while the noisy one sends ten times what the
// service can take. The quiet one's accepted rate and its times in both halves
// are compared.
//
// The script `run` makes the keys (QUIET_KEY and NOISY_KEY), has the capacity
// measured with PROBE, and gives k6 and the service a processor each, where
// there are two: k6's own work would otherwise be part of what is measured.

import http from 'k6/http';
import exec from 'k6/execution';
import { Counter, Trend } from 'k6/metrics';
import { seconds, url, whole } from './lib/config.js';
import { body as large, events as largeEvents, groups } from './lib/bodies.js';

const probe = !!__ENV.PROBE;
const duration = seconds('DURATION', '20s');
const rate = whole('QUIET_RATE', 50); // of the quiet tenant, requests/s
const noisyRate = whole('RATE', 500); // of the noisy one
const noisyVUs = whole('NOISY_VUS', 200);
const quietEvents = 20;

// The quiet tenant's first seconds beside the noisy one are the flood's
// beginning, and count too.
const constant = (what, r, vus, start) => ({
  executor: 'constant-arrival-rate', exec: what, rate: r, timeUnit: '1s', duration: `${duration}s`,
  preAllocatedVUs: vus, maxVUs: vus, startTime: `${start}s`, gracefulStop: '30s',
});

export const options = {
  scenarios: probe
    ? { probe: { executor: 'constant-vus', exec: 'noisy', vus: 4, duration: '8s' } }
    : {
      alone: constant('quiet', rate, 50, 0),
      beside: constant('quiet', rate, 50, duration + 3),
      noisy: constant('noisy', noisyRate, noisyVUs, duration + 3),
    },
  summaryTrendStats: ['med', 'p(95)', 'p(99)', 'max'],
  systemTags: ['status'],
  thresholds: probe ? {} : { unexpected: ['count==0'] },
};

const unexpected = new Counter('unexpected');
const times = {};
const counts = {};
for (const half of ['alone', 'beside', 'noisy', 'probe']) {
  times[half] = new Trend(`${half}_time`, true);
  for (const what of ['sent', 'accepted', 'refused']) {
    counts[`${half}_${what}`] = new Counter(`${half}_${what}`);
  }
}

function post(data, headers, key) {
  const half = exec.scenario.name;
  const res = http.post(url, data, { headers: Object.assign({ Authorization: `Bearer ${key}` }, headers), timeout: '30s' });
  counts[`${half}_sent`].add(1);
  if (res.status === 204) {
    counts[`${half}_accepted`].add(1);
    times[half].add(res.timings.duration);
  } else if ((res.status === 429 || res.status === 503) && Number(res.headers['Retry-After']) >= 1) {
    counts[`${half}_refused`].add(1);
  } else {
    unexpected.add(1);
    console.error(`${half}: status ${res.status} ${res.error || String(res.body).slice(0, 300)}`);
  }
}

export function quiet() {
  const all = [];
  const now = Date.now();
  for (let i = 0; i < quietEvents; i++) {
    all.push(`{"device":"quiet-${i}","ts":${now},"values":{"temperature_c":21.5,"humidity_pct":50.25},"tags":{"fw":"1.4.2"}}`);
  }
  post(`[${all.join(',')}]`, { 'Content-Type': 'application/json' }, __ENV.QUIET_KEY);
}

export function noisy() {
  const b = large(exec.scenario.iterationInTest % groups, Date.now());
  post(b.data, b.headers, __ENV.NOISY_KEY);
}

export function handleSummary(data) {
  const value = (metric, key) => (data.metrics[metric] && data.metrics[metric].values[key]) || 0;
  const of = (half) => ({
    sent: value(`${half}_sent`, 'count'),
    accepted: value(`${half}_accepted`, 'count'),
    refused: value(`${half}_refused`, 'count'),
    med_ms: value(`${half}_time`, 'med'),
    p95_ms: value(`${half}_time`, 'p(95)'),
    p99_ms: value(`${half}_time`, 'p(99)'),
    max_ms: value(`${half}_time`, 'max'),
  });
  const out = {};
  if (probe) {
    const capacity = of('probe').accepted / 8;
    out[__ENV.OUT] = JSON.stringify({ capacity, tenfold_rate: Math.ceil(10 * capacity) }, null, 2) + '\n';
    out.stdout = `capacity: ${capacity.toFixed(0)} requests/s of ${largeEvents} events\n`;
    return out;
  }
  const alone = of('alone'), beside = of('beside'), flood = of('noisy');
  const rateRatio = alone.accepted ? beside.accepted / alone.accepted : 0;
  const p99Ratio = alone.p99_ms ? beside.p99_ms / alone.p99_ms : 0;
  const ok = rateRatio >= 0.9 && p99Ratio <= 2 && flood.accepted > 0 && value('unexpected', 'count') === 0;
  const result = {
    scenario: 'noisy-neighbour', ok, quiet_rate: rate, noisy_rate: noisyRate, noisy_events: largeEvents, seconds: duration,
    alone, beside, noisy: flood, accepted_ratio: rateRatio, p99_ratio: p99Ratio,
    dropped_iterations: value('dropped_iterations', 'count'), unexpected: value('unexpected', 'count'),
  };
  const line = (name, x) => `  ${name.padEnd(14)}${x.accepted} of ${x.sent} requests accepted, ${x.refused} refused; ` +
    `median ${x.med_ms.toFixed(1)} ms, p95 ${x.p95_ms.toFixed(1)} ms, p99 ${x.p99_ms.toFixed(1)} ms, max ${x.max_ms.toFixed(0)} ms`;
  if (__ENV.OUT) {
    out[__ENV.OUT] = JSON.stringify(result, null, 2) + '\n';
  }
  out.stdout = ['', `noisy-neighbour: ${rate} requests/s of ${quietEvents} events, alone and beside ${noisyRate} requests/s of ${largeEvents} events`, '',
    line('alone', alone), line('beside', beside), line('noisy', flood),
    `  ${''.padEnd(14)}${result.dropped_iterations} requests not sent in time`, '',
    `  accepted ${rateRatio.toFixed(3)} of what it is alone (0.9 at least), p99 ${p99Ratio.toFixed(2)} times (2 at most)`,
    ok ? 'PASSED' : 'FAILED', ''].join('\n');
  return out;
}

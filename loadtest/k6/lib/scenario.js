// What the scenarios have in common: options, and the frame around the load.

import { Gauge } from 'k6/metrics';
import exec from 'k6/execution';
import * as client from './client.js';
import * as ledger from './ledger.js';

const loadSeconds = new Gauge('load_seconds');

// options are k6's, for one load. Requests may finish after its end.
export function options(load, thresholds) {
  return {
    scenarios: { load: Object.assign({ gracefulStop: '60s' }, load) },
    thresholds: Object.assign({}, client.demands, ledger.demands, thresholds),
    summaryTrendStats: ['avg', 'med', 'p(95)', 'p(99)', 'p(99.9)', 'max'],
    systemTags: ['status'],
    setupTimeout: '90s',
    teardownTimeout: '150s',
  };
}

// constant is an open loop: a request is due every 1/rate seconds, whether or
// not the others have been answered. VUs for half a second of requests, or vus,
// may be waiting for answers; beyond that requests are dropped, and counted.
export function constant(rate, seconds, vus = Math.max(50, Math.ceil(rate / 2))) {
  return { executor: 'constant-arrival-rate', rate, timeUnit: '1s', duration: `${seconds}s`, preAllocatedVUs: vus, maxVUs: vus };
}

export function setup() {
  return ledger.open();
}

export function teardown(before) {
  loadSeconds.add((Date.now() - before.t0) / 1000);
  return ledger.close(before);
}

// turn is the number of this iteration in the whole run, from 0.
export function turn() {
  return exec.scenario.iterationInTest;
}

// due is when iteration i of a constant rate is due, in milliseconds. As a
// timestamp it is another one for every request up to 1,000/s, so every
// sample is another one to the store.
export function due(t0, i, rate) {
  return t0 + Math.floor(i * 1000 / rate);
}

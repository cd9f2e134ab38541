// The server's account of events, from the operator's listener: read before
// the first request and after the last, when nothing is in flight any more.

import http from 'k6/http';
import { sleep } from 'k6';
import { Counter, Gauge } from 'k6/metrics';
import { ops, seconds } from './config.js';
import { differences, knock } from './client.js';

const outcomes = ['received', 'accepted', 'rejected', 'duplicate', 'recovered', 'stored', 'dead_lettered'];

const faults = new Counter('ledger_faults');
const gauges = {};
for (const name of outcomes.concat('in_flight')) {
  gauges[name] = new Gauge(`ledger_${name}`);
}
const cpu = new Gauge('server_cpu_seconds');
const memory = new Gauge('server_memory_peak_bytes');
const drained = new Gauge('ledger_drain_seconds');
const found = new Gauge('store_samples');

// Everything here must come to nothing.
export const demands = ops ? {
  ledger_faults: ['count==0'],
  difference_received: ['count==0'],
  difference_accepted: ['count==0'],
  difference_rejected: ['count==0'],
  difference_duplicate: ['count==0'],
} : {};

function get(path) {
  const res = http.get(ops + path, { responseType: 'text', timeout: '20s' });
  if (res.status !== 200) {
    throw new Error(`cannot be read: ${ops}${path} answers ${res.status || res.error}`);
  }
  return res.body;
}

function read() {
  const all = {};
  for (const line of get('/metrics').split('\n')) {
    const at = line.lastIndexOf(' ');
    if (at > 0 && line[0] !== '#') {
      all[line.slice(0, at)] = Number(line.slice(at + 1));
    }
  }
  const one = (name) => {
    if (all[name] === undefined) {
      throw new Error(`cannot be read: ${ops}/metrics has no ${name}`);
    }
    return all[name];
  };
  const l = { in_flight: one('penstock_events_in_flight') };
  for (const name of outcomes) {
    l[name] = one(`penstock_events_total{outcome="${name}"}`);
  }
  l.cpu = all.process_cpu_seconds_total || 0;
  l.memory = all.process_resident_memory_peak_bytes || 0;
  return l;
}

// settled reads the ledger until nothing is in flight, for DRAIN (60s) at
// most.
function settled() {
  const end = Date.now() + 1000 * seconds('DRAIN', '60s');
  let l = read();
  while (l.in_flight > 0 && Date.now() < end) {
    sleep(0.25);
    l = read();
  }
  return l;
}

// samples counts those in the store, with its query API.
export function samples() {
  const query = 'sum(count_over_time({__name__=~"temperature_c|humidity_pct|battery_v"}[1d]))';
  const rows = JSON.parse(get(`/api/v1/query?query=${encodeURIComponent(query)}`)).data.result;
  return rows.length ? Number(rows[0].value[1]) : 0;
}

// open is what setup returns; t0 is when the run began.
export function open() {
  knock();
  return { ledger: ops ? settled() : null, t0: Date.now() };
}

// close belongs into teardown. It returns what the run added to the ledger.
export function close(before) {
  if (!before.ledger) {
    return null;
  }
  const start = Date.now();
  const wrong = (text) => { faults.add(1); console.error(`ledger: ${text}`); };
  let after;
  try {
    after = settled();
  } catch (e) {
    wrong(e.message);
    return null;
  }
  drained.add((Date.now() - start) / 1000);
  const added = {};
  for (const name of outcomes) {
    added[name] = after[name] - before.ledger[name];
    gauges[name].add(added[name]);
  }
  gauges.in_flight.add(after.in_flight);
  cpu.add(after.cpu - before.ledger.cpu);
  memory.add(after.memory);

  faults.add(0);
  // The whole ledger, since the server was started.
  if (after.received !== after.accepted + after.rejected + after.duplicate) {
    wrong('received is not accepted + rejected + duplicate');
  }
  if (after.accepted + after.recovered !== after.stored + after.dead_lettered + after.in_flight) {
    wrong('accepted + recovered is not stored + dead-lettered + in flight');
  }
  if (after.in_flight !== 0) {
    wrong(`${after.in_flight} events are still in flight`);
  }
  for (const name of Object.keys(differences)) {
    differences[name].add(-added[name]);
  }
  return added;
}

// expectSamples waits until the store holds want samples more than before.
export function expectSamples(before, want) {
  const end = Date.now() + 30000;
  let n = samples() - before;
  while (n < want && Date.now() < end) {
    sleep(0.5);
    n = samples() - before;
  }
  found.add(n);
  if (n !== want) {
    faults.add(1);
    console.error(`store: ${n} samples were added, not ${want}`);
  }
}

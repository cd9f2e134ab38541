// The network was away for an hour. All devices come back at once, each with
// six envelopes of ten minutes, and do as the contract asks: they wait as
// long as Retry-After says and send the same envelope until it is
// acknowledged. One in twenty loses an acknowledgement and sends again what
// the service has, which must not be stored twice.

import { sleep } from 'k6';
import { seconds, whole } from './lib/config.js';
import { send } from './lib/client.js';
import { options as frame, turn } from './lib/scenario.js';
import { summary } from './lib/summary.js';
import { Counter } from 'k6/metrics';

export { setup, teardown } from './lib/scenario.js';

const devices = whole('DEVICES', 2000);
const connections = Math.min(devices, whole('CONNECTIONS', 500));
const patience = seconds('DURATION', '2m');
const done = new Counter('devices_done');
const repeated = new Counter('events_repeated');

const envelopes = 6;
const readings = 60; // an envelope, one every 10 s
const step = 10000;

export const options = frame({
  executor: 'shared-iterations',
  vus: connections,
  iterations: devices,
  maxDuration: `${patience}s`,
}, {
  devices_done: [`count==${devices}`],
  events_accepted: [`count==${devices * envelopes * readings}`],
  events_rejected: ['count==0'],
  ack_time: ['p(95)<3000', 'p(99)<6000'],
});

// envelope is the n-th of a device's backlog, which ends at end.
function envelope(device, n, end) {
  const first = end - (envelopes - n) * readings * step;
  const events = [];
  for (let i = 0; i < readings; i++) {
    events.push(`{"ts":${first + i * step},"values":{"temperature_c":2${i % 10}.5${device % 10},"humidity_pct":5${n}.3,"battery_v":3.${i}1}}`);
  }
  return `{"device":"dev-${String(device).padStart(6, '0')}","boot":"k6-${end}","seq":${n},"sent_at":${Date.now()},` +
    `"tags":{"fw":"1.4.${device % 4}"},"events":[${events.join(',')}]}`;
}

const headers = { 'Content-Type': 'application/json' };

// deliver sends until it is acknowledged, with the waits that it is asked for
// and up to half as long again. k6 ends it when time is up.
function deliver(data) {
  for (;;) {
    const res = send(data, headers, readings);
    if (res.status === 200 || res.status === 204) {
      return;
    }
    if (res.status !== 429 && res.status !== 503 && res.status !== 0) {
      return; // was counted as unexpected
    }
    sleep(Number(res.headers['Retry-After'] || 1) * (1 + Math.random() / 2));
  }
}

export default function (data) {
  const device = turn();
  for (let n = 0; n < envelopes; n++) {
    const all = envelope(device, n, data.t0);
    deliver(all);
    if (device % 20 === 0 && n === device / 20 % envelopes) {
      repeated.add(readings);
      deliver(all);
    }
  }
  done.add(1);
}

// Each repetition was a duplicate, and nothing else was.
const inTwenty = Math.ceil(devices / 20) * readings;
options.thresholds.events_duplicate = [`count==${inTwenty}`];
options.thresholds.events_repeated = [`count==${inTwenty}`];

export const handleSummary = summary('reconnect-storm', `${devices} devices over ${connections} connections with an hour's backlog each, ${envelopes} envelopes of ${readings} events`);

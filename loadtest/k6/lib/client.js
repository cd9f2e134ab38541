// One request, and the client's own count of what became of its events.

import http from 'k6/http';
import { Counter, Trend } from 'k6/metrics';
import { url } from './config.js';

export const ackTime = new Trend('ack_time', true); // of acknowledged requests
export const sent = new Counter('requests_sent');
export const acknowledged = new Counter('requests_acknowledged'); // 200 and 204
export const invalid = new Counter('requests_invalid'); // 4xx that the scenario provoked
export const refused = new Counter('requests_refused'); // 429 and 503 that say when to come back
export const unexpected = new Counter('requests_unexpected'); // any other answer
export const unanswered = new Counter('requests_unanswered'); // time-outs and broken connections

// Why requests were refused, by the problem's code.
export const reasons = {};
for (const code of ['memory_limit', 'journal_full', 'journal_failed', 'connection_limit', 'too_many_connections', 'over_quota', 'draining', 'unavailable', 'other']) {
  reasons[code] = new Counter(`refused_${code}`);
}

export const received = new Counter('events_received');
export const accepted = new Counter('events_accepted');
export const rejected = new Counter('events_rejected');
export const duplicate = new Counter('events_duplicate');

// What the client counted less what the server counted. The client adds as it
// goes and teardown takes the server's count off, so that a threshold can
// fail the run.
export const differences = {
  received: new Counter('difference_received'),
  accepted: new Counter('difference_accepted'),
  rejected: new Counter('difference_rejected'),
  duplicate: new Counter('difference_duplicate'),
};

// What every scenario asks for. A refusal without Retry-After and any other
// 5xx are unexpected.
export const demands = {
  requests_acknowledged: ['count>0'],
  requests_unexpected: ['count==0'],
  requests_unanswered: ['count==0'],
};

// A VU reports its first surprise only.
let complaints = 1;

function complain(text) {
  if (complaints-- > 0) {
    console.error(text);
  }
}

// surprise counts an answer that is not in order, and shows it.
export function surprise(res, text) {
  unexpected.add(1);
  complain(`${text}: status ${res.status} ${String(res.body || '').slice(0, 500)}`);
}

// settle counts what became of the events of one request.
export function settle(total, ok, bad, twice) {
  received.add(total);
  accepted.add(ok);
  rejected.add(bad);
  duplicate.add(twice);
  differences.received.add(total);
  differences.accepted.add(ok);
  differences.rejected.add(bad);
  differences.duplicate.add(twice);
}

function code(res) {
  const found = /"code":"([a-z_]+)"/.exec(res.body || '');
  return found ? found[1] : 'other';
}

// post sends events, counts, and returns k6's response.
export function post(data, headers, events) {
  const res = http.post(url, data, { headers });
  sent.add(1);
  const wait = Number(res.headers['Retry-After'] || 0);
  switch (true) {
    case res.status === 0:
      unanswered.add(1);
      complain(`no answer: ${res.error}`);
      break;
    case res.status === 204 || res.status === 200: {
      const ok = Number(res.headers['Penstock-Accepted'] || 0);
      const twice = Number(res.headers['Penstock-Duplicates'] || 0);
      acknowledged.add(1);
      ackTime.add(res.timings.duration);
      settle(events, ok, events - ok - twice, twice);
      if (res.status === 204 && ok + twice !== events) {
        surprise(res, `204, but ${ok} accepted and ${twice} duplicate of ${events}`);
      } else if (ok > 0 && res.headers['Penstock-Ack'] !== 'durable') {
        surprise(res, `Penstock-Ack is ${res.headers['Penstock-Ack']}`);
      }
      break;
    }
    case (res.status === 429 || res.status === 503) && wait >= 1:
      refused.add(1);
      (reasons[code(res)] || reasons.other).add(1);
      break;
    case res.status >= 400 && res.status < 500 && res.status !== 429:
      // Whoever provokes these looks at them; elsewhere none is in order.
      break;
    default:
      surprise(res, 'unexpected answer');
  }
  return res;
}

// send is post for scenarios that provoke no error.
export function send(data, headers, events) {
  const res = post(data, headers, events);
  if (res.status >= 400 && res.status < 500 && res.status !== 429) {
    surprise(res, 'unexpected answer');
  }
  return res;
}

// knock fails if nobody answers at all.
export function knock() {
  const res = http.get(url, { timeout: '10s' });
  if (res.status === 0) {
    throw new Error(`nobody answers at ${url}: ${res.error}`);
  }
}

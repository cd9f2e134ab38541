// One event in ten is faulty, and so is one request in ten as a whole. Every
// answer is compared with what it must say: which events, where in them, and
// why. What is good beside them must get in.

import { seconds, whole } from './lib/config.js';
import { event, events, groups, prepare, render } from './lib/bodies.js';
import { invalid, post, settle, surprise } from './lib/client.js';
import { constant, due, options as frame, turn } from './lib/scenario.js';
import { summary } from './lib/summary.js';
import { Counter } from 'k6/metrics';

export { setup, teardown } from './lib/scenario.js';

const rate = whole('RATE', 200);
const duration = seconds('DURATION', '20s');
const checked = new Counter('errors_checked');

export const options = frame(constant(rate, duration), {
  ack_time: ['p(95)<150', 'p(99)<400'],
  requests_refused: ['count==0'],
  dropped_iterations: ['count==0'],
  errors_checked: ['count>0'],
});

// Each fault spoils an event, and says what the answer must say.
const values = '"values":{"temperature_c":21.5}';
const faults = [
  { text: `{"device":"bad","ts":~,"values":{"temperature_c":"21.5"}}`, pointer: '/values/temperature_c', code: 'type_mismatch' },
  { text: `{"ts":~,${values}}`, pointer: '/device', code: 'missing_device' },
  { text: `{"device":"bad\\u0007","ts":~,${values}}`, pointer: '/device', code: 'invalid_device' },
  { text: `{"device":"bad","ts":"yesterday",${values}}`, pointer: '/ts', code: 'invalid_ts' },
  { text: `{"device":"bad","ts":1000,${values}}`, pointer: '/ts', code: 'ts_out_of_range' },
  { text: `{"device":"bad","ts":~,"values":{"temperature_c":null}}`, pointer: '/values', code: 'no_values' },
  { text: `{"device":"bad","ts":~,"values":{"temperature-c":21.5}}`, pointer: '/values/temperature-c', code: 'invalid_name' },
  { text: `{"device":"bad","ts":~,"values":{"temperature_c":1e999}}`, pointer: '/values/temperature_c', code: 'value_out_of_range' },
  { text: `{"device":"bad","ts":~,${values},"tags":{"device":"x"}}`, pointer: '/tags/device', code: 'reserved_tag' },
  { text: `{"device":"bad","ts":~,${values},"tags":{"fw":"${'x'.repeat(257)}"}}`, pointer: '/tags/fw', code: 'tag_too_long' },
  { text: `{"device":"bad","ts":~,${values},"tags":{"fw":4}}`, pointer: '/tags/fw', code: 'type_mismatch' },
];

// One event in ten: the first of each ten, the second, and so on, so that the
// index is not always the same digit.
const parts = [];
const want = [];
for (let i = 0; i < events; i++) {
  const ten = Math.floor(i / 10);
  if (i % 10 === ten % 10) {
    const f = faults[ten % faults.length];
    parts.push(f.text);
    want.push(`${i} ${f.pointer} ${f.code}`);
  } else {
    parts.push(event(i, i % 10));
  }
}
const array = prepare(`[${parts.join(',')}]`);
const lines = prepare(parts.join('\n') + '\n');
// The answer lists 100 at most.
const listed = want.slice(0, 100).join('\n');

// Requests that are faulty as a whole. Where total is given the events were
// read, and each was rejected.
const json = 'application/json';
const wholes = [
  { data: '[{"device":"bad",', type: json, status: 400, code: 'malformed_json' },
  { data: '', type: json, status: 400, code: 'empty_body' },
  { data: '42', type: json, status: 400, code: 'type_mismatch' },
  { data: 'a,b\n1,2\n', type: 'text/csv', status: 415, code: 'unsupported_media_type' },
  { data: '[]', type: json, encoding: 'br', status: 415, code: 'unsupported_encoding' },
  { data: 'not gzip', type: json, encoding: 'gzip', status: 400, code: 'bad_encoding' },
  { data: `[${faults.map((f) => f.text).join(',')}]`, type: json, status: 422, code: 'no_valid_event', total: faults.length },
];

function list(errors) {
  return (errors || []).map((e) => `${e.index} ${e.pointer} ${e.code}`).join('\n');
}

function partly(i, ts) {
  const ndjson = i % 2 === 1;
  const headers = { 'Content-Type': ndjson ? 'application/x-ndjson' : json };
  const res = post(render(ndjson ? lines : array, i % groups, ts), headers, events);
  if (res.status !== 200) {
    if (res.status !== 0 && res.status !== 429 && res.status !== 503) {
      surprise(res, 'expected 200');
    }
    return;
  }
  const answer = res.json();
  const got = list(answer.errors);
  if (answer.accepted !== events - want.length || answer.rejected !== want.length || got !== listed) {
    surprise(res, `expected ${want.length} rejected:\n${listed}\ngot\n${got}\n`);
    return;
  }
  checked.add(want.length);
}

function wholly(w, ts) {
  const headers = { 'Content-Type': w.type };
  if (w.encoding) {
    headers['Content-Encoding'] = w.encoding;
  }
  const res = post(render(prepare(w.data), 0, ts), headers, w.total || 0);
  if (res.status === 0 || res.status === 429 || res.status === 503) {
    return;
  }
  const type = res.headers['Content-Type'];
  const answer = type === 'application/problem+json' ? res.json() : {};
  if (res.status !== w.status || answer.code !== w.code || answer.status !== w.status) {
    surprise(res, `expected ${w.status} ${w.code} as a problem, got ${type}`);
    return;
  }
  invalid.add(1);
  checked.add(1);
  if (w.total) {
    settle(w.total, 0, w.total, 0);
    const all = faults.map((f, n) => `${n} ${f.pointer} ${f.code}`).join('\n');
    if (list(answer.errors) !== all) {
      surprise(res, `expected\n${all}\ngot\n${list(answer.errors)}\n`);
    }
  }
}

export default function (data) {
  const i = turn();
  const ts = due(data.t0, i, rate);
  if (i % 10 === 9) {
    wholly(wholes[Math.floor(i / 10) % wholes.length], ts);
  } else {
    partly(i, ts);
  }
}

export const handleSummary = summary('bad-input', `${rate} requests/s of ${events} events for ${duration} s, one event and one request in ten faulty`);

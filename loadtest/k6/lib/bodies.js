// Bodies of the reference work: one event each of consecutive devices, with 3
// fields and 1 tag, about 135 bytes of JSON.
//
// A fleet of DEVICES is cut into groups of EVENTS devices; a request carries
// one reading of each device of a group.

import { whole } from './config.js';

export const events = whole('EVENTS', 100);
export const groups = Math.max(1, Math.floor(whole('DEVICES', 10000) / events));

// Bodies made beforehand by ./bodies, one gzip file for each group. Every VU
// holds a copy of them.
const dir = __ENV.BODIES || '';
const files = [];
if (dir) {
  for (let g = 0; g < groups; g++) {
    files.push(open(`${dir}/${g}.json.gz`, 'b'));
  }
}

export const encoding = dir ? 'gzip' : 'none';

// Characters that occur in no event otherwise; rendering replaces them.
const GROUP = '@';
const TS = '~';
const DIGIT = '#';

const width = String(events - 1).length;
const pad = (n, w) => String(n).padStart(w, '0');

// event is the i-th of a group's events, before the characters are replaced.
export function event(i) {
  const n = pad(i, width);
  return `{"device":"dev-${GROUP}${n}","ts":${TS},"values":{"temperature_c":2${DIGIT}.${n}7,` +
    `"humidity_pct":5${DIGIT}.3,"battery_v":3.${n}1},"tags":{"fw":"1.4.${i % 4}"}}`;
}

// render fills in a template that was made of events.
export function render(template, group, ts) {
  return template
    .replaceAll(GROUP, pad(group, 4))
    .replaceAll(TS, String(ts))
    .replaceAll(DIGIT, String(ts % 10));
}

let template = '';

// body is a group's request: { data, headers }. Events of precompressed bodies
// have no ts, so they take the time of receipt. Two of one group that arrive
// in the same millisecond then leave one sample in the store, not two. The
// ledger counts events, and is none the worse.
export function body(group, ts) {
  if (files.length) {
    return { data: files[group], headers: { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' } };
  }
  if (!template) {
    const all = [];
    for (let i = 0; i < events; i++) {
      all.push(event(i));
    }
    template = `[${all.join(',')}]`;
  }
  return { data: render(template, group, ts), headers: { 'Content-Type': 'application/json' } };
}

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

// Characters that stand for the group and the timestamp until a body is
// rendered; they occur in no event otherwise.
const GROUP = '@';
const TS = '~';

const width = String(events - 1).length;
const pad = (n, w) => String(n).padStart(w, '0');

// event is the i-th of a group's events, before it is rendered. The digit
// makes the values change in time.
export function event(i, digit) {
  const n = pad(i, width);
  return `{"device":"dev-${GROUP}${n}","ts":${TS},"values":{"temperature_c":2${digit}.${n}7,` +
    `"humidity_pct":5${digit}.3,"battery_v":3.${digit}${n}},"tags":{"fw":"1.4.${i % 4}"}}`;
}

// prepare cuts a text at its groups, once, because that is half the work of
// rendering it.
export function prepare(text) {
  return text.split(GROUP);
}

export function render(prepared, group, ts) {
  return prepared.join(pad(group, 4)).split(TS).join(String(ts));
}

const arrays = []; // prepared, by digit

// body is a group's request: { data, headers }. Events of precompressed bodies
// have no ts, so they take the time of receipt. Two of one group that arrive
// in the same millisecond then leave one sample in the store, not two. The
// ledger counts events, and is none the worse.
export function body(group, ts) {
  if (files.length) {
    return { data: files[group], headers: { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' } };
  }
  const digit = ts % 10;
  if (!arrays[digit]) {
    const all = [];
    for (let i = 0; i < events; i++) {
      all.push(event(i, digit));
    }
    arrays[digit] = prepare(`[${all.join(',')}]`);
  }
  return { data: render(arrays[digit], group, ts), headers: { 'Content-Type': 'application/json' } };
}

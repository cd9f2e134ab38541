// The end of a run, as text for people and as JSON for programs.

import { encoding } from './bodies.js';
import { reasons } from './client.js';
import { ops } from './config.js';

const labels = { none: 'as JSON', gzip: 'gzipped beforehand' };

function grouped(n) {
  return String(Math.round(n)).replace(/\B(?=(\d{3})+(?!\d))/g, ',');
}

function ms(x) {
  return x >= 1000 ? `${(x / 1000).toFixed(1)} s` : `${x.toFixed(x < 10 ? 1 : 0)} ms`;
}

// summary makes the handleSummary of a scenario. what describes the load.
export function summary(name, what) {
  return (data) => {
    const value = (metric, key) => {
      const m = data.metrics[metric];
      return m && m.values[key] !== undefined ? m.values[key] : 0;
    };
    const count = (metric) => value(metric, 'count');
    const gauge = (metric) => value(metric, 'value');

    const thresholds = [];
    for (const metric of Object.keys(data.metrics).sort()) {
      const all = data.metrics[metric].thresholds || {};
      for (const rule of Object.keys(all)) {
        const key = rule.split(/[<>=!]/)[0].trim();
        thresholds.push({ metric, rule, ok: all[rule].ok, value: value(metric, key) });
      }
    }
    const failed = thresholds.filter((t) => !t.ok);
    const wall = data.state.testRunDurationMs / 1000;
    // Without setup and teardown.
    const span = gauge('load_seconds') || wall;

    const sent = count('requests_sent');
    const requests = {
      sent,
      acknowledged: count('requests_acknowledged'),
      invalid: count('requests_invalid'),
      refused: count('requests_refused'),
      unexpected: count('requests_unexpected'),
      unanswered: count('requests_unanswered'),
    };
    const refusals = {};
    for (const code of Object.keys(reasons)) {
      if (count(`refused_${code}`)) {
        refusals[code] = count(`refused_${code}`);
      }
    }
    const client = {};
    for (const n of ['received', 'accepted', 'rejected', 'duplicate']) {
      client[n] = count(`events_${n}`);
    }
    const server = {};
    for (const n of ['received', 'accepted', 'rejected', 'duplicate', 'recovered', 'stored', 'dead_lettered', 'in_flight']) {
      server[n] = gauge(`ledger_${n}`);
    }
    const time = data.metrics.ack_time ? data.metrics.ack_time.values : null;
    const dropped = count('dropped_iterations');
    const result = {
      scenario: name,
      load: what,
      encoding,
      ok: failed.length === 0,
      load_seconds: span,
      wall_seconds: wall,
      requests,
      refusals,
      dropped_iterations: dropped,
      events: client,
      events_per_second: client.accepted / span,
      ack_ms: time,
      ledger: ops ? server : null,
      drain_seconds: gauge('ledger_drain_seconds'),
      server_cpu_seconds: gauge('server_cpu_seconds'),
      server_memory_peak_bytes: gauge('server_memory_peak_bytes'),
      thresholds,
    };

    const lines = ['', `${name}: ${what}, ${labels[encoding]}`, ''];
    const line = (head, text) => lines.push(`  ${head.padEnd(14)}${text}`);
    const share = (n) => (sent ? `${(100 * n / sent).toFixed(n && n < sent / 100 ? 2 : 1)} %` : '-');
    line('requests', `${grouped(sent)} in ${span.toFixed(1)} s, ${grouped(sent / span)}/s; ${grouped(dropped)} not sent in time`);
    line('acknowledged', `${grouped(requests.acknowledged)} (${share(requests.acknowledged)}); ${grouped(client.accepted)} events, ${grouped(client.accepted / span)}/s`);
    if (requests.invalid) {
      line('invalid', `${grouped(requests.invalid)} (${share(requests.invalid)}), refused as a whole, as they should be`);
    }
    line('refused', `${grouped(requests.refused)} (${share(requests.refused)}) with 429 or 503 and Retry-After` +
      Object.keys(refusals).map((code) => `, ${code} ${grouped(refusals[code])}`).join(''));
    line('other', `${grouped(requests.unexpected)} unexpected answers, ${grouped(requests.unanswered)} without an answer`);
    if (time && requests.acknowledged) {
      line('ack time', `median ${ms(time.med)}, p95 ${ms(time['p(95)'])}, p99 ${ms(time['p(99)'])}, max ${ms(time.max)}`);
    }
    if (ops && !data.metrics.ledger_received) {
      line('ledger', 'could not be read at the end');
    } else if (ops) {
      line('ledger', `received ${grouped(server.received)} = accepted ${grouped(server.accepted)} + rejected ${grouped(server.rejected)} + duplicate ${grouped(server.duplicate)}`);
      line('', `accepted + recovered ${grouped(server.recovered)} = stored ${grouped(server.stored)} + dead-lettered ${grouped(server.dead_lettered)} + in flight ${grouped(server.in_flight)}`);
      const same = ['received', 'accepted', 'rejected', 'duplicate'].filter((n) => client[n] !== server[n]);
      line('', same.length === 0 ? 'the client counted the same'
        : `the client counted ${same.map((n) => `${grouped(client[n])} ${n}`).join(', ')}`);
      if (data.metrics.store_samples) {
        line('store', `${grouped(gauge('store_samples'))} samples found by a query`);
      }
      const million = client.accepted / 1e6;
      line('server', `${result.server_cpu_seconds.toFixed(1)} s of CPU` +
        `${million >= 0.1 ? ` (${(result.server_cpu_seconds / million).toFixed(1)} per million events)` : ''}, ` +
        `${grouped(result.server_memory_peak_bytes / 1048576)} MiB at most; all stored ${result.drain_seconds.toFixed(1)} s after the last request`);
    } else {
      line('ledger', 'not checked: OPS_URL is not set');
    }
    lines.push('');
    for (const t of thresholds) {
      const is = t.metric.endsWith('_time') ? ms(t.value) : String(Math.round(t.value * 100) / 100);
      lines.push(`  ${t.ok ? 'ok  ' : 'FAIL'}  ${`${t.metric} ${t.rule}`.padEnd(40)} ${is}`);
    }
    lines.push('', failed.length ? `FAILED: ${failed.length} of ${thresholds.length} thresholds` : `PASSED: ${thresholds.length} thresholds`);
    const out = { };
    if (__ENV.OUT) {
      out[__ENV.OUT] = JSON.stringify(result, null, 2) + '\n';
      lines.push(__ENV.OUT);
    }
    out.stdout = lines.join('\n') + '\n';
    return out;
  };
}

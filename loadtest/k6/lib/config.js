// Where the service is, and the numbers a run can be given by environment
// variables. All of k6's own modules only: nothing is fetched.

export const url = (__ENV.URL || 'http://127.0.0.1:8080').replace(/\/+$/, '') + '/v1/telemetry';

// The operator's listener. Empty: the ledger cannot be checked.
export const ops = (__ENV.OPS_URL || '').replace(/\/+$/, '');

// whole reads a whole number of at least 1.
export function whole(name, standard) {
  const given = __ENV[name];
  if (given === undefined || given === '') {
    return standard;
  }
  if (!/^[1-9][0-9]*$/.test(given)) {
    throw new Error(`${name} must be a whole number above 0, is ${JSON.stringify(given)}`);
  }
  return Number(given);
}

// seconds reads a duration such as 90s, 5m or 1h30m and returns it in seconds.
export function seconds(name, standard) {
  const given = __ENV[name] || standard;
  const m = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(given);
  const total = m ? Number(m[1] || 0) * 3600 + Number(m[2] || 0) * 60 + Number(m[3] || 0) : 0;
  if (!total) {
    throw new Error(`${name} must be a duration such as 90s, 5m or 1h30m, is ${JSON.stringify(given)}`);
  }
  return total;
}

/** JSON text of an answer that keeps `-0`, which `JSON.stringify` would turn into 0. */

/** Compact JSON text. Members that are undefined are left out, as `JSON.stringify` does. */
export function jsonText(value: unknown): string {
  return hasNegativeZero(value) ? exactText(value) : JSON.stringify(value);
}

function hasNegativeZero(value: unknown): boolean {
  if (typeof value === 'number') return Object.is(value, -0);
  if (typeof value !== 'object' || value === null) return false;
  return Object.values(value).some(hasNegativeZero);
}

// Answers are at most a few levels deeper than data, which is at most 200: recursion is safe.
function exactText(value: unknown): string {
  if (Object.is(value, -0)) return '-0';
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(exactText).join(',')}]`;
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .map(([name, member]) => `${JSON.stringify(name)}:${exactText(member)}`);
  return `{${members.join(',')}}`;
}

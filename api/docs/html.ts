/** Text as HTML. Everything shown on the docs page goes through here. */

/** Text with what HTML gives a meaning escaped. */
export function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}

export function code(text: string): string {
  return `<code>${escapeHtml(text)}</code>`;
}

/** Prose in which `back ticks` mark code. */
export function inline(text: string): string {
  return text
    .split('`')
    .map((part, at) => (at % 2 === 1 ? code(part) : escapeHtml(part)))
    .join('');
}

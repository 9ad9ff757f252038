/** Text as HTML. Everything shown on the docs page goes through here. */
import { escapeHtml } from '../../domain/escape-html.ts';

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

/** Reads a query string strictly: bad percent-encoding is an error, a repeated name gives an array. */
import { AppError } from '../domain/errors.ts';

/**
 * Name → value, or values where the name is repeated. Has no prototype.
 *
 * @throws AppError VALIDATION
 */
export function parseQuery(url: string): Record<string, string | string[]> {
  const query: Record<string, string | string[]> = Object.create(null) as Record<
    string,
    string | string[]
  >;
  const start = url.indexOf('?');
  if (start < 0) return query;
  for (const part of url.slice(start + 1).split('&')) {
    if (part === '') continue;
    const cut = part.indexOf('=');
    const name = decode(cut < 0 ? part : part.slice(0, cut));
    const value = cut < 0 ? '' : decode(part.slice(cut + 1));
    const known = query[name];
    query[name] =
      known === undefined ? value : [...(Array.isArray(known) ? known : [known]), value];
  }
  return query;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch (cause) {
    throw new AppError('VALIDATION', 'The query is not valid percent-encoded UTF-8.', { cause });
  }
}

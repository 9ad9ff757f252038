/** What settings about callers look like: origins of pages, addresses of proxies. */
import { isIP } from 'node:net';
import { z } from 'zod';
import { listOf, wholeFrom } from './setting-kinds.ts';

const MAX_PROXIES = 10;
const PROXY_GROUPS = ['loopback', 'linklocal', 'uniquelocal'];

/** Origins exactly as browsers send them: scheme, host, and port where it is not the usual one. */
export const webOrigins = listOf(',').refine((all) => all.every(isWebOrigin), {
  error: 'must be origins like https://app.example.com, without a path; `*` is not one',
});

const PROXIES = {
  error: `must be a number up to ${MAX_PROXIES}, or addresses like 10.0.0.5, 10.0.0.0/8, loopback`,
};
/** How many proxies stand in front, or their addresses. */
export const proxies = z.union(
  [wholeFrom(0).max(MAX_PROXIES), listOf(',').refine(areProxies, PROXIES)],
  PROXIES,
);

function isWebOrigin(text: string): boolean {
  return /^https?:\/\//.test(text) && URL.canParse(text) && new URL(text).origin === text;
}

function areProxies(all: readonly string[]): boolean {
  return all.length > 0 && all.every(isProxy);
}

function isProxy(text: string): boolean {
  const [address = '', bits, ...more] = text.split('/');
  if (PROXY_GROUPS.includes(text)) return true;
  const most = isIP(address) === 6 ? 128 : 32;
  const isNet = bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= most);
  return isIP(address) !== 0 && isNet && more.length === 0;
}

/** Looks at both sides of the demo as they really are, for the table and for `--check`. */
import type { RemoteEntry } from '../connectors/contract.ts';
import { memorySchema, type Memory } from '../domain/item.ts';
import type { Json } from '../domain/json.ts';
import type { Link } from '../domain/link.ts';
import { DEMO_CALLER } from './demo.ts';
import type { Services } from './services.ts';

/** Name → memory, as one side has it now. */
export type Side = ReadonlyMap<string, Memory>;

/** Reads a link's remote anew, through its connector. */
export async function readSide({ pool }: Services, link: Link): Promise<Side> {
  const connector = await pool.get(DEMO_CALLER.tenant, link);
  const entries: RemoteEntry<Json>[] = [];
  for (let page: string | null = null, isLast = false; !isLast;) {
    const got = await connector.observe({ since: null, page });
    entries.push(...got.entries);
    page = got.nextPage;
    isLast = page === null;
  }
  const present = entries.filter((entry) => entry.status === 'present');
  const memories = present.flatMap((entry) => {
    const parsed = memorySchema.safeParse(entry.value);
    return parsed.success ? [parsed.data] : [];
  });
  return new Map(memories.map((memory) => [memory.name, memory]));
}

/**
 * What differs between two sides, one sentence each; empty when they agree. A type is left out:
 * a Markdown section that a person wrote has none.
 */
export function differences(a: Side, b: Side): string[] {
  const names = [...new Set([...a.keys(), ...b.keys()])].sort();
  return names.flatMap((name) => {
    const [left, right] = [a.get(name), b.get(name)];
    if (!left || !right) return [`"${name}" is only on one side`];
    return contentOf(left) === contentOf(right) ? [] : [`"${name}" differs`];
  });
}

function contentOf({ observations, relations }: Memory): string {
  return JSON.stringify([observations, relations]);
}

/** `3 facts, 1 relation`, or a dash for an item that is not there. */
export function sizeOf(memory: Memory | undefined): string {
  if (!memory) return '—';
  const { observations, relations } = memory;
  const facts = `${observations.length} fact${observations.length === 1 ? '' : 's'}`;
  if (relations.length === 0) return facts;
  return `${facts}, ${relations.length} relation${relations.length === 1 ? '' : 's'}`;
}

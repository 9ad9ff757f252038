/** P1, P2, P4, P9 on one memory: two sides, one of which rewrites whatever it is sent. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hashJson } from '../../../domain/hash.ts';
import type { ContextKey } from '../../../domain/ids.ts';
import { canonicalMemory, type Memory } from '../../../domain/item.ts';
import type { SyncPolicy } from '../../../sync/contract.ts';
import { decide } from '../../../sync/decide.ts';
import { mergeItem, translateRemote } from '../../../sync/merge-item.ts';

const POLICY: SyncPolicy = {
  direction: 'both',
  strategy: 'three-way',
  strategies: [],
  editVersusDelete: 'edit',
  propagateExpiry: false,
};

const NORMALISERS: Readonly<Record<string, (text: string) => string>> = {
  nothing: (text) => text,
  'white space': (text) => text.trim(),
  'case and white space': (text) => text.trim().toLowerCase(),
  bullets: (text) => `- ${text}`.replace(/^(- )+/, '- '),
};

const observations = fc.uniqueArray(
  fc.constantFrom('Tabs', 'tabs', ' Tabs', 'Use Postgres', 'use postgres', 'No CSS ', 'x', 'Y'),
  { maxLength: 5 },
);
const edits = fc.array(fc.record({ side: fc.constantFrom('hub', 'remote'), observations }), {
  maxLength: 6,
});

interface Link {
  hub: Memory;
  remote: Memory;
  base: { hub: Memory; remote: Memory };
}

const memory = (texts: readonly string[]): Memory =>
  canonicalMemory({ name: 'Style', type: 'section', observations: [...texts], relations: [] });

/** One pass over the item as the engine makes it; returns how many writes it took. */
function run(link: Link, normalise: (item: Memory) => Memory): number {
  const decision = decide(
    {
      key: 'notes/style' as ContextKey,
      kind: 'memory',
      base: { hubHash: hashJson(link.base.hub), remoteHash: hashJson(link.base.remote) },
      hub: { status: 'present', hash: hashJson(link.hub) },
      remote: { status: 'present', hash: hashJson(link.remote) },
    },
    POLICY,
  );
  const before = hashJson([link.hub, link.remote]);
  if (decision.action === 'copy' && decision.to === 'remote') link.remote = normalise(link.hub);
  if (decision.action === 'copy' && decision.to === 'hub') {
    link.hub = translateRemote('memory', link.base, link.remote) as Memory;
  }
  if (decision.action === 'merge') {
    const stamps = { hubMs: null, remoteMs: null };
    const merged = mergeItem({ ...link, kind: 'memory', stamps, policy: POLICY });
    if (merged.status === 'conflict') throw new Error('sets never conflict');
    if (merged.changesHub) link.hub = merged.value as Memory;
    if (merged.changesRemote) link.remote = normalise(merged.value as Memory);
  }
  link.base = { hub: link.hub, remote: link.remote };
  return hashJson([link.hub, link.remote]) === before ? 0 : 1;
}

describe.each(Object.entries(NORMALISERS))('a remote that rewrites %s', (_, rewrite) => {
  const normalise = (item: Memory): Memory => memory(item.observations.map(rewrite));

  it('is quiet after one run, and holds what the hub holds in its own spelling', () => {
    fc.assert(
      fc.property(observations, fc.array(edits, { maxLength: 4 }), (start, rounds) => {
        const hub = memory(start);
        const remote = normalise(hub);
        const link: Link = { hub, remote, base: { hub, remote } };
        for (const round of rounds) {
          for (const edit of round) {
            if (edit.side === 'hub') link.hub = memory(edit.observations);
            else link.remote = normalise(memory(edit.observations));
          }
          run(link, normalise);
          expect(run(link, normalise)).toBe(0);
          expect(link.remote).toEqual(normalise(link.hub));
        }
      }),
      { numRuns: 500 },
    );
  });
});

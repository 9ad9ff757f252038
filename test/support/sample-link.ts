/** Links for tests: as they are asked for, and as the store tells of them. */
import { randomUUID } from 'node:crypto';
import type { LinkId } from '../../domain/ids.ts';
import { DEFAULT_GUARDS, type Link } from '../../domain/link.ts';
import type { LinkCondition, NewLink } from '../../store/contract.ts';

/** A link of the fake connector, looked at every five seconds, as the API would ask for it. */
export function newLink(more: Partial<NewLink> = {}): NewLink {
  return {
    name: `link-${randomUUID().slice(0, 8)}`,
    connector: 'fake',
    config: {},
    scope: { prefix: 'p/' },
    direction: 'both',
    strategy: 'three-way',
    strategies: [],
    intervalMs: 5_000,
    trigger: 'auto',
    guards: DEFAULT_GUARDS,
    ...more,
  };
}

/** Such a link as the store tells of it, active. */
export function sampleLink(more: Partial<Link> = {}): Link {
  return {
    ...newLink({ name: 'project' }),
    id: 'l1' as LinkId,
    conflictFallback: null,
    state: 'active',
    guard: null,
    epoch: 1,
    createdAt: '2026-11-01T00:00:00.000Z',
    updatedAt: '2026-11-01T00:00:00.000Z',
    ...more,
  };
}

/** How a link stands of which there is nothing to say. */
export function quietCondition(
  link: Link = sampleLink(),
  more: Partial<LinkCondition> = {},
): LinkCondition {
  return {
    link,
    guard: null,
    overdueMs: -3_000,
    isLive: false,
    isResting: false,
    passAgeMs: 3_600_000,
    dirtyMs: null,
    requestedMs: null,
    openRuns: 0,
    openIntents: 0,
    overdueConflicts: 0,
    quarantined: 0,
    lastError: null,
    ...more,
  };
}

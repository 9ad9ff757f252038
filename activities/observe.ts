/**
 * Observing: first finish what a crash left open, then record what each side has now. Pages of the
 * remote are recorded as they come; absence counts only after the last page of a complete scan.
 */
import type { Connector, ObservePage, RemoteEntry, RemoteItem } from '../connectors/contract.ts';
import { AppError } from '../domain/errors.ts';
import { hashText } from '../domain/hash.ts';
import type { ContextKey, RemoteId } from '../domain/ids.ts';
import { documentSchema, itemKey, itemName, memorySchema, type ItemKind } from '../domain/item.ts';
import type { Json } from '../domain/json.ts';
import type { Link } from '../domain/link.ts';
import { encodeBody, type Naming, type Sighting } from '../store/contract.ts';
import type { Observed } from './contract.ts';
import type { PassScope } from './pass-scope.ts';
import { finishIntents } from './execute.ts';

const HUB_PAGE = 2_000;
const NAMING_PAGE = 1_000;
const MAX_KEY_CODE_POINTS = 512;

export async function observe(scope: PassScope): Promise<Observed> {
  const recovered = scope.mayHaveIntents ? await finishIntents(scope) : 0;
  const { hasNameless, ...hub } = await observeHub(scope);
  if (hasNameless) await nameNewItems(scope);
  const remote = await observeRemote(scope);
  return { ...hub, ...remote, recovered };
}

async function observeHub({
  sync,
  ref,
  heartbeat,
}: PassScope): Promise<
  Pick<Observed, 'changedHub' | 'echo' | 'heldBack'> & { hasNameless: boolean }
> {
  const seen = { changedHub: 0, echo: 0, heldBack: false, hasNameless: false };
  for (let hasMore = true; hasMore;) {
    const page = await sync.observeHub(ref, HUB_PAGE);
    seen.changedHub += page.changed;
    seen.echo += page.echo;
    seen.heldBack = page.heldBack;
    // Asked of all items, so the last page knows.
    seen.hasNameless = page.hasNameless;
    hasMore = page.hasMore;
    heartbeat();
  }
  return seen;
}

/** A hub item's name on the remote comes from its body; only items without one are read. */
async function nameNewItems({ sync, ref, kinds, heartbeat }: PassScope): Promise<void> {
  for (let after = '', isDone = false; !isDone;) {
    const items = await sync.namelessItems(ref, { after, limit: NAMING_PAGE });
    if (items.length > 0)
      await sync.nameItems(
        ref,
        items.map((item) => namingOf(item, kinds)),
      );
    after = items.at(-1)?.key ?? after;
    isDone = items.length < NAMING_PAGE;
    heartbeat();
  }
}

function namingOf(
  item: { key: ContextKey; kind: string | null; body: Json | null },
  kinds: readonly ItemKind[],
): Naming {
  if (item.kind === null) return { key: item.key, status: 'gone' };
  const kind: ItemKind = item.kind === 'document' ? 'document' : 'memory';
  if (!kinds.includes(kind)) return { key: item.key, status: 'excluded' };
  const parsed = (kind === 'memory' ? memorySchema : documentSchema).safeParse(item.body);
  const name = itemName(kind, item.body);
  if (parsed.success && name !== null) {
    return { key: item.key, status: 'named', kind, remoteId: name as RemoteId };
  }
  const [issue] = parsed.error?.issues ?? [];
  const where = issue ? `/${issue.path.join('/')}: ${issue.message}` : 'it has no name';
  return {
    key: item.key,
    status: 'quarantined',
    fault: { code: 'ITEM_INVALID', detail: `the context is not a ${kind} item (${where})` },
  };
}

async function observeRemote(
  scope: PassScope,
): Promise<Omit<Observed, 'changedHub' | 'echo' | 'heldBack' | 'recovered'>> {
  const { sync, ref, connector, heartbeat, signal } = scope;
  const seenIds: RemoteId[] = [];
  let observed = 0;
  let changedRemote = 0;
  let page: ObservePage;
  let sightings: Sighting[];
  let next: string | null = null;
  for (;;) {
    page = await connector.observe({ since: scope.remoteCursor, page: next, signal });
    observed += page.entries.length;
    for (const entry of page.entries) if (entry.status !== 'absent') seenIds.push(entry.remoteId);
    sightings = await sight(scope, page.entries);
    changedRemote += sightings.length;
    next = page.nextPage;
    heartbeat();
    if (next === null) break;
    await sync.recordSightings(ref, sightings);
  }
  if (!page.isComplete) {
    await sync.recordSightings(ref, sightings);
    // Without its certificate a listing proves nothing about what it does not show (P15).
    throw new AppError('CONNECTOR_UNREACHABLE', 'the remote gave an incomplete listing', {
      retryable: true,
    });
  }
  const { inDoubt, gone, hasWork } = await sync.completeObservation(ref, {
    sightings,
    cursor: page.cursor,
    seenIds: page.mode === 'scan' ? seenIds : null,
    scansNeeded: scope.scansNeeded,
  });
  return { observed, changedRemote: changedRemote + gone, inDoubt, hasWork };
}

/** The entries of a page that differ from what is recorded, with their bodies. */
async function sight(scope: PassScope, entries: readonly RemoteEntry[]): Promise<Sighting[]> {
  const { sync, ref, link, connector, signal } = scope;
  if (entries.length === 0) return [];
  // A page may hold an entry twice; the later one is the newer.
  const latest = new Map(entries.map((entry) => [entry.remoteId, entry]));
  const known = await sync.knownRemotes(ref, [...latest.keys()]);
  const differing = [...latest.values()].filter((entry) => {
    const recorded = known.get(entry.remoteId);
    if (entry.status === 'faulty') return recorded?.status !== 'faulty';
    if (entry.status === 'absent') return recorded !== undefined && recorded.status !== 'absent';
    return recorded?.status !== 'present' || recorded.version !== entry.version;
  });
  const complete = await withValues(connector, differing, signal);
  return Promise.all(
    complete.map(async (entry) => ({
      ...(await sightingOf(link, entry)),
      isKnown: known.has(entry.remoteId),
    })),
  );
}

async function withValues(
  connector: Connector,
  entries: readonly RemoteEntry[],
  signal: AbortSignal,
): Promise<readonly RemoteEntry[]> {
  const bare = entries.filter((entry) => entry.status === 'present' && entry.value === undefined);
  if (bare.length === 0) return entries;
  const read = await connector.read(
    bare.map((entry) => entry.remoteId),
    signal,
  );
  const values = new Map(read.map((entry) => [entry.remoteId, entry]));
  return entries.map((entry) => values.get(entry.remoteId) ?? entry);
}

type Seen = Omit<Sighting, 'isKnown'>;

async function sightingOf(link: Link, entry: RemoteEntry): Promise<Seen> {
  const bare = {
    remoteId: entry.remoteId,
    version: null,
    body: null,
    changedAtMs: null,
    fault: null,
  };
  if (entry.status === 'absent') {
    return {
      ...bare,
      ...keysFor(link, 'memory', entry.remoteId),
      kind: 'memory',
      status: 'absent',
    };
  }
  if (entry.status === 'faulty') {
    const fault = { code: entry.code, detail: entry.detail };
    return {
      ...bare,
      ...keysFor(link, 'memory', entry.remoteId),
      kind: 'memory',
      status: 'faulty',
      fault,
    };
  }
  return presentSighting(link, entry);
}

async function presentSighting(link: Link, entry: RemoteItem): Promise<Seen> {
  const value = entry.value ?? {};
  const keys = keysFor(link, entry.kind, itemName(entry.kind, value) ?? entry.remoteId);
  const common = {
    remoteId: entry.remoteId,
    ...keys,
    kind: entry.kind,
    changedAtMs: entry.changedAtMs ?? null,
  };
  if ([...keys.spareKey].length > MAX_KEY_CODE_POINTS) {
    const fault = {
      code: 'INVALID_KEY',
      detail: 'the name is too long for a key under this prefix',
    };
    return {
      ...common,
      ...keysFor(link, entry.kind, hashText(entry.remoteId)),
      status: 'faulty',
      version: null,
      body: null,
      fault,
    };
  }
  return {
    ...common,
    status: 'present',
    version: entry.version,
    body: await encodeBody(value),
    fault: null,
  };
}

/** The key a remote item gets, and another for when that belongs to an item of another name. */
function keysFor(
  link: Link,
  kind: ItemKind,
  name: string,
): { key: ContextKey; spareKey: ContextKey } {
  const key = itemKey(link.scope.prefix, kind, name);
  return { key, spareKey: `${key}~${hashText(name).slice(0, 8)}` as ContextKey };
}

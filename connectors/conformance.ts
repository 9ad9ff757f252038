/**
 * The conformance suite: what every connector promises, run against the real remote (or the fake).
 * A connector's own test gives a harness; see docs/writing-a-connector.md.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RemoteId } from '../domain/ids.ts';
import { asRemoteId, type ItemKind } from '../domain/item.ts';
import type { JsonObject } from '../domain/json.ts';
import {
  holdsKind,
  type ApplyOutcome,
  type Connector,
  type ConnectorCapabilities,
  type ObservePage,
  type ObserveRequest,
  type RemoteEntry,
  type RemoteItem,
  type RemoteOp,
} from './connector.ts';

/** An edit somebody else makes to the remote, without our connector. */
export type ForeignEdit =
  | { readonly action: 'put'; readonly kind: ItemKind; readonly value: JsonObject }
  | { readonly action: 'remove'; readonly remoteId: RemoteId };

/** One remote, empty at first, with a connector open on it. */
export interface ConformanceSubject {
  readonly connector: Connector;
  /** Done when the remote has the edit. */
  editBehind(edit: ForeignEdit): Promise<void>;
  /** Stops everything; the suite has closed the connector. */
  close(): Promise<void>;
}

export interface ConformanceHarness {
  readonly capabilities: ConnectorCapabilities;
  /** A fresh, empty remote per test. */
  open(): Promise<ConformanceSubject>;
  /** An item of a name with these texts, as the remote itself would spell it. */
  sample(name: string, texts: readonly string[]): { kind: ItemKind; value: JsonObject };
  /** Whether the remote keeps every string as it was sent; otherwise it may respell or refuse. */
  readonly isVerbatim: boolean;
  /** Names the remote cannot hold, among {@link HOSTILE_STRINGS}; others must work or be refused. */
  readonly impossibleNames?: readonly string[];
  /** A value the remote refuses, where it takes what is no item of its kind. */
  readonly refusedValue?: JsonObject;
}

/** Strings that break careless connectors. */
export const HOSTILE_STRINGS: Readonly<Record<string, string>> = {
  newlines: 'first line\nsecond line\r\nthird',
  markdown: '# Heading\n- item `code` **bold** <!-- comment -->',
  emoji: '👩‍👩‍👧 naïve café ﷽ e\u0301',
  long: 'long '.repeat(20_000).trim(),
  quotes: `"double" 'single' \\back\\ \`tick\``,
  proto: '__proto__',
  whitespace: '  leading and trailing \t ',
  json: '{"type":"entity","name":"x"}',
  control: 'bell\u0007 null\u0000 line\u2028 end',
  path: '../../etc/passwd',
};

/** Declares the suite for one connector. */
export function describeConnectorConformance(name: string, harness: ConformanceHarness): void {
  describe(`${name} keeps the connector contract`, () => {
    const bench = createBench(harness);
    beforeEach(bench.start);
    afterEach(bench.stop);
    describe('looking', () => lookingTests(bench));
    describe('writing', () => writingTests(bench));
    describe('versions', () => versionTests(bench));
    describe('after our own writes', () => afterOwnWrites(bench));
    describe('hostile strings', () => hostileTests(bench));
    if (harness.capabilities.canWatch) describe('hints', () => hintTests(bench));
  });
}

function lookingTests(bench: Bench): void {
  it('lists an empty remote as complete, without entries', async () => {
    const seen = await bench.observe();
    expect(seen.isComplete).toBe(true);
    expect(seen.entries).toEqual([]);
  });

  it('lists everything with a certificate, values and versions included', async () => {
    const names = ['Alpha', 'Beta', 'Gamma'];
    for (const name of names) await bench.foreignPut(name, [`about ${name}`]);
    const seen = await bench.observe();
    expect(seen.isComplete).toBe(true);
    expect(seen.cursor).toEqual(expect.any(String));
    expect(present(seen.entries).map((item) => nameOf(item.value))).toEqual(
      expect.arrayContaining(names),
    );
    for (const item of present(seen.entries)) expect(item.version).not.toBe('');
  });

  it('says unchanged, without entries, when nothing happened since the cursor', async () => {
    await bench.foreignPut('Alpha', ['one']);
    const first = await bench.observe();
    const again = await bench.observe(first.cursor);
    expect(again).toMatchObject({ mode: 'unchanged', entries: [], isComplete: true });
    expect(again.cursor).toBe(first.cursor);
  });

  it('lists everything in a complete scan when asked for the whole, whatever the cursor', async () => {
    await bench.foreignPut('Alpha', ['one']);
    const { cursor } = await bench.observe();
    for (const isDoubted of [false, true]) {
      const whole = await bench.observe(cursor, { isDoubted, isWhole: true });
      expect(whole).toMatchObject({ mode: 'scan', isComplete: true });
      expect(present(whole.entries).map(({ value }) => nameOf(value))).toEqual(['Alpha']);
      expect(await bench.observe(whole.cursor)).toMatchObject({ mode: 'unchanged' });
    }
  });

  it('shows a foreign edit after the cursor with another version', async () => {
    await bench.foreignPut('Alpha', ['one']);
    const first = await bench.observe();
    await bench.foreignPut('Alpha', ['one', 'two']);
    const next = await bench.observe(first.cursor);
    expect(next.mode).not.toBe('unchanged');
    expect(bench.find(next, 'Alpha').version).not.toBe(bench.find(first, 'Alpha').version);
  });

  it('tells a foreign delete: by feed as absent, by a complete scan that lacks it', async () => {
    await bench.foreignPut('Alpha', ['one']);
    await bench.foreignPut('Beta', ['one']);
    const first = await bench.observe();
    const { remoteId } = bench.find(first, 'Alpha');
    await bench.subject.editBehind({ action: 'remove', remoteId });
    const next = await bench.observe(first.cursor);
    const entry = next.entries.find((one) => one.remoteId === remoteId);
    expect(next.isComplete).toBe(true);
    expect(entry?.status).toBe(next.mode === 'changes' ? 'absent' : undefined);
  });

  it('reads what it listed, and answers missing ids as absent, in order', async () => {
    await bench.foreignPut('Alpha', ['one']);
    const item = bench.find(await bench.observe(), 'Alpha');
    const missing = asRemoteId('No Such Item');
    const read = await bench.connector.read([missing, item.remoteId]);
    expect(read[0]).toEqual({ status: 'absent', remoteId: missing });
    expect(read[1]).toMatchObject({ status: 'present', version: item.version, value: item.value });
  });

  it('gives the same versions when it looks twice', async () => {
    await bench.foreignPut('Alpha', ['one']);
    const [first, second] = [await bench.observe(), await bench.observe()];
    expect(second.entries).toEqual(first.entries);
  });

  it('answers a probe', async () => {
    await expect(bench.connector.probe()).resolves.toBeUndefined();
  });
}

function writingTests(bench: Bench): void {
  it('creates, and what it answers is what a reader sees (no echo)', async () => {
    const outcome = applied(await bench.applyOne(bench.create('Alpha', ['one', 'two'])));
    const item = bench.find(await bench.observe(), 'Alpha');
    expect(item.version).toBe(outcome.version);
    expect(item.value).toEqual(outcome.written);
    expect(item.remoteId).toBe(outcome.remoteId);
  });

  it('updates, and what it answers is what a reader sees', async () => {
    const before = await bench.created('Alpha', ['one', 'two']);
    const outcome = applied(await bench.applyOne(bench.update(before, 'Alpha', ['two', 'three'])));
    const item = bench.find(await bench.observe(), 'Alpha');
    expect(item.version).toBe(outcome.version);
    expect(item.value).toEqual(outcome.written);
    expect(JSON.stringify(item.value)).toContain('three');
    expect(JSON.stringify(item.value)).not.toContain('one');
  });

  it('deletes', async () => {
    const before = await bench.created('Alpha', ['one']);
    await bench.created('Beta', ['one']);
    const outcome = applied(await bench.applyOne(bench.remove(before)));
    expect(outcome).toMatchObject({ version: null, written: null });
    const seen = await bench.observe();
    expect(present(seen.entries).map((item) => nameOf(item.value))).toEqual(['Beta']);
  });

  it('renames, answering the id the item has now', async () => {
    const before = await bench.created('Alpha', ['one']);
    const outcome = applied(await bench.applyOne(bench.update(before, 'Omega', ['one'])));
    const seen = await bench.observe();
    expect(present(seen.entries).map((item) => nameOf(item.value))).toEqual(['Omega']);
    const item = bench.find(seen, 'Omega');
    expect(item).toMatchObject({ remoteId: outcome.remoteId, version: outcome.version });
    if (bench.connector.capabilities.hasStableIds) expect(item.remoteId).toBe(before.remoteId);
  });

  it('answers a mixed batch in the order of its ops', async () => {
    const kept = await bench.created('Kept', ['one']);
    const doomed = await bench.created('Doomed', ['one']);
    const ops = [
      bench.create('New', ['one']),
      bench.remove(doomed),
      bench.update(kept, 'Kept', ['one', 'two']),
      { ...bench.create('Stale', ['one']), action: 'update' as const, expectedVersion: 'nonsense' },
    ];
    const outcomes = await bench.connector.apply(ops);
    expect(outcomes.map((outcome) => outcome.opId)).toEqual(ops.map((op) => op.opId));
    expect(outcomes.map((o) => o.status)).toEqual(['applied', 'applied', 'applied', 'moved']);
    const names = present((await bench.observe()).entries).map((item) => nameOf(item.value));
    expect(names.sort()).toEqual(['Kept', 'New']);
  });

  it('does nothing for an empty batch', async () => {
    expect(await bench.connector.apply([])).toEqual([]);
  });

  it('writes the same value again without anybody seeing a change', async () => {
    const before = await bench.created('Alpha', ['one', 'two']);
    const outcome = applied(
      await bench.applyOne({
        ...bench.update(before, 'Alpha', []),
        value: before.value ?? null,
      }),
    );
    const item = bench.find(await bench.observe(), 'Alpha');
    expect(item.version).toBe(outcome.version);
    expect(item.value).toEqual(before.value);
  });

  it('lets the others through when one op of a batch is refused', async () => {
    const { refusedValue = { nonsense: true } } = bench.harness;
    const bad = { ...bench.create('Bad', ['one']), value: refusedValue };
    const [first, second] = await bench.connector.apply([bad, bench.create('Good', ['one'])]);
    expect(first).toMatchObject({ status: 'failed', code: 'ITEM_INVALID', isRetryable: false });
    expect(second?.status).toBe('applied');
    const names = present((await bench.observe()).entries).map((item) => nameOf(item.value));
    expect(names).toEqual(['Good']);
  });

  it('refuses a kind it does not hold', async () => {
    const { capabilities } = bench.connector;
    const other = ['memory', 'document', 'json'].find((kind) => !holdsKind(capabilities, kind));
    if (!other) return;
    const outcome = await bench.applyOne({ ...bench.create('Alpha', ['one']), kind: other });
    expect(outcome).toMatchObject({ status: 'failed', code: 'ITEM_INVALID' });
    expect((await bench.observe()).entries).toEqual([]);
  });
}

function versionTests(bench: Bench): void {
  it('answers moved, and writes nothing, when the item changed since', async () => {
    const before = await bench.created('Alpha', ['one']);
    await bench.foreignPut('Alpha', ['one', 'foreign']);
    const outcome = await bench.applyOne(bench.update(before, 'Alpha', ['ours']));
    const item = bench.find(await bench.observe(), 'Alpha');
    expect(outcome).toMatchObject({ status: 'moved', current: { version: item.version } });
    expect(JSON.stringify(item.value)).toContain('foreign');
    expect(JSON.stringify(item.value)).not.toContain('ours');
  });

  it('answers moved, and deletes nothing, when the item changed since', async () => {
    const before = await bench.created('Alpha', ['one']);
    await bench.foreignPut('Alpha', ['one', 'foreign']);
    const outcome = await bench.applyOne(bench.remove(before));
    expect(outcome.status).toBe('moved');
    expect(JSON.stringify(bench.find(await bench.observe(), 'Alpha').value)).toContain('foreign');
  });

  it('answers moved when a create finds the item there', async () => {
    await bench.foreignPut('Alpha', ['foreign']);
    const outcome = await bench.applyOne(bench.create('Alpha', ['ours']));
    expect(outcome).toMatchObject({ status: 'moved', current: { status: 'present' } });
    expect(JSON.stringify(bench.find(await bench.observe(), 'Alpha').value)).not.toContain('ours');
  });

  it('answers moved with an absence when an update finds nothing', async () => {
    const before = await bench.created('Alpha', ['one']);
    await bench.subject.editBehind({ action: 'remove', remoteId: before.remoteId });
    const outcome = await bench.applyOne(bench.update(before, 'Alpha', ['ours']));
    expect(outcome).toMatchObject({ status: 'moved', current: { status: 'absent' } });
    expect(present((await bench.observe()).entries)).toEqual([]);
  });

  it('answers a replayed op the same where it remembers op ids, and never writes it twice', async () => {
    const op = bench.create('Alpha', ['one']);
    const first = await bench.applyOne(op);
    const { cursor } = await bench.observe();
    const second = await bench.applyOne(op);
    if (bench.connector.capabilities.grade === 'A') expect(second).toEqual(first);
    else expect(second.status).toBe('moved');
    expect((await bench.observe(cursor)).mode).toBe('unchanged');
  });

  if (bench.harness.capabilities.grade === 'A') rememberedRefusals(bench);

  it('keeps a foreign edit of another item made between look and write', async () => {
    const before = await bench.created('Alpha', ['one']);
    await bench.created('Beta', ['one']);
    await bench.foreignPut('Beta', ['one', 'foreign']);
    applied(await bench.applyOne(bench.update(before, 'Alpha', ['one', 'ours'])));
    const seen = await bench.observe();
    expect(JSON.stringify(bench.find(seen, 'Beta').value)).toContain('foreign');
    expect(JSON.stringify(bench.find(seen, 'Alpha').value)).toContain('ours');
  });
}

/** Grade A: an op id that was refused stays refused, or a late twin could undo a delete. */
function rememberedRefusals(bench: Bench): void {
  async function expectRefusedAgain(op: RemoteOp): Promise<void> {
    const { cursor } = await bench.observe();
    expect(await bench.applyOne(op)).toMatchObject({ status: 'moved', opId: op.opId });
    expect((await bench.observe(cursor)).mode).toBe('unchanged');
  }

  it('refuses a create once more that was refused, though the item is gone by now', async () => {
    await bench.foreignPut('Alpha', ['foreign']);
    const op = bench.create('Alpha', ['ours']);
    expect((await bench.applyOne(op)).status).toBe('moved');
    const { remoteId } = bench.find(await bench.observe(), 'Alpha');
    await bench.subject.editBehind({ action: 'remove', remoteId });
    await expectRefusedAgain(op);
  });

  it('refuses an update and a delete once more, whatever the item is by now', async () => {
    const [alpha, beta] = [
      await bench.created('Alpha', ['one']),
      await bench.created('Beta', ['one']),
    ];
    const ops = [bench.update(alpha, 'Alpha', ['ours']), bench.remove(beta)];
    for (const name of ['Alpha', 'Beta']) await bench.foreignPut(name, ['one', 'foreign']);
    const refused = await bench.connector.apply(ops);
    expect(refused.map(({ status }) => status)).toEqual(['moved', 'moved']);
    for (const name of ['Alpha', 'Beta']) await bench.foreignPut(name, ['one']);
    for (const op of ops) await expectRefusedAgain(op);
  });
}

/** The cursor is as old as the last look; what we have written since is nothing it could know of. */
function afterOwnWrites(bench: Bench): void {
  const look = (since: string | null): Promise<ObservePage> =>
    bench.observe(since, { isDoubted: true });

  it('shows a remote that was put back to what it was before our write', async () => {
    await bench.foreignPut('Alpha', ['one']);
    const before = await bench.observe();
    const was = bench.find(before, 'Alpha');
    applied(await bench.applyOne(bench.update(was, 'Alpha', ['one', 'ours'])));
    await bench.foreignPut('Alpha', ['one']);
    const next = await look(before.cursor);
    expect(next.mode).not.toBe('unchanged');
    expect(bench.find(next, 'Alpha').value).toEqual(was.value);
  });

  it('shows that what we created is gone again', async () => {
    await bench.foreignPut('Beta', ['one']);
    const before = await bench.observe();
    const { remoteId } = applied(await bench.applyOne(bench.create('Alpha', ['ours'])));
    await bench.subject.editBehind({ action: 'remove', remoteId });
    const next = await look(before.cursor);
    expect(next).toMatchObject({ isComplete: true });
    expect(next.mode).not.toBe('unchanged');
    const entry = next.entries.find((one) => one.remoteId === remoteId);
    expect(entry?.status).toBe(next.mode === 'changes' ? 'absent' : undefined);
  });

  it('shows that what we deleted is back', async () => {
    await bench.foreignPut('Alpha', ['one']);
    await bench.foreignPut('Beta', ['one']);
    const before = await bench.observe();
    applied(await bench.applyOne(bench.remove(bench.find(before, 'Alpha'))));
    await bench.foreignPut('Alpha', ['one']);
    const next = await look(before.cursor);
    expect(next.mode).not.toBe('unchanged');
    expect(bench.find(next, 'Alpha').value).toEqual(bench.find(before, 'Alpha').value);
  });

  it('says unchanged again once a look has shown our write', async () => {
    const created = await bench.created('Alpha', ['one']);
    const before = await bench.observe();
    applied(await bench.applyOne(bench.update(created, 'Alpha', ['one', 'ours'])));
    const { cursor } = await look(before.cursor);
    expect((await bench.observe(cursor)).mode).toBe('unchanged');
  });
}

function hostileTests(bench: Bench): void {
  it.each(Object.keys(HOSTILE_STRINGS))('keeps or refuses %s as a text', async (which) => {
    const text = HOSTILE_STRINGS[which]!;
    await bench.keepsOrRefuses('Alpha', ['harmless', text]);
  });

  const impossible = bench.harness.impossibleNames ?? [];
  const names = Object.entries(HOSTILE_STRINGS).filter(([, text]) => !impossible.includes(text));
  it.each(names)('keeps or refuses %s as a name', async (_which, name) => {
    await bench.keepsOrRefuses(name, ['harmless']);
  });
}

function hintTests(bench: Bench): void {
  it('hints after a foreign edit', async () => {
    const { connector } = bench;
    const hint = deferred();
    const stop = await connector.watch!(hint.resolve);
    await bench.foreignPut('Alpha', ['one']);
    await hint.promise;
    await stop();
  });

  it('hints after a foreign delete', async () => {
    await bench.foreignPut('Alpha', ['one']);
    const { remoteId } = bench.find(await bench.observe(), 'Alpha');
    const hint = deferred();
    const stop = await bench.connector.watch!(hint.resolve);
    await bench.subject.editBehind({ action: 'remove', remoteId });
    await hint.promise;
    await stop();
  });
}

type Bench = ReturnType<typeof createBench>;

/** Everything observed over all pages of one observation. */
interface Seen extends ObservePage {
  readonly entries: readonly RemoteEntry[];
}

function createBench(harness: ConformanceHarness) {
  let subject: ConformanceSubject | null = null;
  let opCount = 0;

  const current = (): ConformanceSubject => {
    if (!subject) throw new Error('no subject is open');
    return subject;
  };

  async function observe(
    since: string | null = null,
    how: Pick<ObserveRequest, 'isDoubted' | 'isWhole'> = {},
  ): Promise<Seen> {
    const { connector } = current();
    let page = await connector.observe({ since, ...how, page: null });
    const entries = [...page.entries];
    while (page.nextPage !== null) {
      page = await connector.observe({ since, ...how, page: page.nextPage });
      entries.push(...page.entries);
    }
    return { ...page, entries };
  }

  function op(action: RemoteOp['action'], of: Partial<RemoteOp>): RemoteOp {
    opCount += 1;
    return {
      opId: `op-${opCount}`,
      action,
      kind: harness.sample('', []).kind,
      remoteId: asRemoteId(''),
      value: null,
      expectedVersion: null,
      ...of,
    };
  }

  const create = (name: string, texts: readonly string[]): RemoteOp =>
    op('create', { ...harness.sample(name, texts), remoteId: asRemoteId(name) });

  const onto = (item: RemoteItem) => ({
    remoteId: item.remoteId,
    expectedVersion: item.version,
  });

  async function applyOne(one: RemoteOp): Promise<ApplyOutcome> {
    const [outcome] = await current().connector.apply([one]);
    if (!outcome) throw new Error('apply gave no answer');
    return outcome;
  }

  async function keepsOrRefuses(name: string, texts: readonly string[]): Promise<void> {
    const sent = create(name, texts);
    const outcome = await applyOne(sent);
    const seen = await observe();
    if (outcome.status === 'failed') {
      expect(harness.isVerbatim, `refused: ${outcome.detail}`).toBe(false);
      expect(outcome.code).toBe('ITEM_INVALID');
      expect(seen.entries).toEqual([]);
      return;
    }
    const { remoteId, version, written } = applied(outcome);
    expect(seen.entries).toHaveLength(1);
    expect(seen.entries[0]).toMatchObject({ status: 'present', remoteId, version });
    expect(present(seen.entries)[0]?.value).toEqual(written);
    if (harness.isVerbatim) expect(written).toEqual(sent.value);
  }

  return {
    harness,
    get subject() {
      return current();
    },
    get connector() {
      return current().connector;
    },
    start: async () => void (subject = await harness.open()),
    stop: async () => {
      await subject?.connector.close();
      await subject?.close();
      subject = null;
    },
    observe,
    create,
    update: (item: RemoteItem, name: string, texts: readonly string[]) =>
      op('update', { ...harness.sample(name, texts), ...onto(item) }),
    remove: (item: RemoteItem) => op('delete', { kind: item.kind, ...onto(item) }),
    applyOne,
    keepsOrRefuses,
    async created(name: string, texts: readonly string[]): Promise<RemoteItem> {
      applied(await applyOne(create(name, texts)));
      return find(await observe(), name);
    },
    foreignPut: (name: string, texts: readonly string[]) =>
      current().editBehind({ action: 'put', ...harness.sample(name, texts) }),
    find,
  };
}

function find(seen: ObservePage, name: string): RemoteItem {
  const item = present(seen.entries).find((entry) => nameOf(entry.value) === name);
  if (!item) throw new Error(`no item named ${name}`);
  return item;
}

function present(entries: readonly RemoteEntry[]): RemoteItem[] {
  return entries.filter((entry) => entry.status === 'present');
}

function applied(outcome: ApplyOutcome): Extract<ApplyOutcome, { status: 'applied' }> {
  if (outcome.status === 'applied') return outcome;
  throw new Error(`not applied: ${JSON.stringify(outcome)}`);
}

function nameOf(value: JsonObject | undefined): unknown {
  return value?.['name'] ?? value?.['path'];
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((settle) => (resolve = settle));
  return { promise, resolve };
}

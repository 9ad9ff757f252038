/** The fake remote misbehaves exactly as it is told, and keeps what its grade promises. */
import { describe, expect, it } from 'vitest';
import type { Connector, RemoteOp } from '../../connectors/connector.ts';
import { createFakeRemote } from '../../connectors/fake/fake-remote.ts';
import { createFakeType } from '../../connectors/fake/fake-type.ts';
import { asRemoteId } from '../../domain/item.ts';
import type { JsonObject } from '../../domain/json.ts';

const page = (connector: Connector, since: string | null = null, at: string | null = null) =>
  connector.observe({ since, page: at });

function note(name: string, text = 'x'): JsonObject {
  return { name, type: 'note', observations: [text], relations: [] };
}

function create(name: string): RemoteOp {
  const remoteId = asRemoteId(name);
  const value = note(name);
  const opId = `op ${name}`;
  return {
    opId,
    action: 'create',
    kind: 'memory',
    remoteId,
    value,
    expectedVersion: null,
  };
}

describe('faults', () => {
  it('fail before the commit, and leave nothing', async () => {
    const remote = createFakeRemote({ grade: 'A' });
    remote.inject({ on: 'apply', kind: 'unreachable' });
    await expect(remote.connect().apply([create('A')])).rejects.toMatchObject({
      code: 'CONNECTOR_UNREACHABLE',
      retryable: true,
    });
    expect(remote.all()).toEqual([]);
    expect(remote.counters).toEqual({ calls: 1, writes: 0 });
  });

  it('lose the answer after the commit, of all ops or of the first few', async () => {
    const remote = createFakeRemote({ grade: 'A' });
    const connector = remote.connect();
    remote.inject({ on: 'apply', kind: 'lost-answer', afterOps: 1 });
    const ops = [create('A'), create('B')];
    await expect(connector.apply(ops)).rejects.toMatchObject({ code: 'CONNECTOR_UNREACHABLE' });
    expect(remote.all().map((item) => item.remoteId)).toEqual(['A']);
    const outcomes = await connector.apply(ops);
    expect(outcomes.map((outcome) => outcome.status)).toEqual(['applied', 'applied']);
    expect(remote.counters.writes).toBe(2);
  });

  it('limit the rate, saying how long', async () => {
    const remote = createFakeRemote({ grade: 'B' });
    remote.inject({ on: 'observe', kind: 'rate-limited', retryAfterMs: 250 });
    await expect(page(remote.connect())).rejects.toMatchObject({
      code: 'RATE_LIMITED',
      retryable: true,
      extra: { retryAfterMs: 250 },
    });
  });

  it('come after some calls, so many times, and can be cleared', async () => {
    const remote = createFakeRemote({ grade: 'B' });
    const connector = remote.connect();
    remote.inject({ on: 'probe', kind: 'unreachable', skip: 1, times: 2 });
    await connector.probe();
    await expect(connector.probe()).rejects.toThrow();
    await expect(connector.probe()).rejects.toThrow();
    await connector.probe();
    remote.inject({ on: 'probe', kind: 'unreachable', times: Infinity });
    await expect(connector.probe()).rejects.toThrow();
    remote.clearFaults();
    await connector.probe();
  });

  it('keep an answer back until told', async () => {
    const remote = createFakeRemote({ grade: 'B' });
    let release: () => void = () => undefined;
    remote.inject({
      on: 'probe',
      kind: 'late',
      until: new Promise<void>((resolve) => (release = resolve)),
    });
    let isDone = false;
    const probing = remote
      .connect()
      .probe()
      .then(() => (isDone = true));
    await Promise.resolve();
    expect(isDone).toBe(false);
    release();
    await probing;
  });

  it('cut a scan without a certificate, double it, turn it round', async () => {
    const remote = createFakeRemote({ grade: 'C', pageSize: 10 });
    for (const name of ['A', 'B', 'C']) remote.put(note(name));
    const connector = remote.connect();
    const ids = async () => (await page(connector)).entries.map((entry) => entry.remoteId);
    remote.inject({ on: 'observe', kind: 'truncated' });
    const cut = await page(connector);
    expect(cut).toMatchObject({ isComplete: false, nextPage: null, cursor: null });
    expect(cut.entries).toHaveLength(2);
    remote.inject({ on: 'observe', kind: 'doubled' });
    expect(await ids()).toEqual(['A', 'A', 'B', 'B', 'C', 'C']);
    remote.inject({ on: 'observe', kind: 'reordered' });
    expect(await ids()).toEqual(['C', 'B', 'A']);
  });

  it('refuse one op and do the others', async () => {
    const remote = createFakeRemote({ grade: 'B' });
    remote.inject({ on: 'apply', kind: 'refuse-op', index: 0 });
    const outcomes = await remote.connect().apply([create('A'), create('B')]);
    expect(outcomes.map((outcome) => outcome.status)).toEqual(['failed', 'applied']);
  });

  it('refuse an op for good where op ids are remembered, unless it may be tried again', async () => {
    const remote = createFakeRemote({ grade: 'A' });
    const connector = remote.connect();
    remote.inject({ on: 'apply', kind: 'refuse-op', index: 0 });
    const [refused] = await connector.apply([create('A')]);
    expect(await connector.apply([create('A')])).toEqual([refused]);
    remote.inject({ on: 'apply', kind: 'refuse-op', index: 0, isRetryable: true });
    expect(await connector.apply([create('B')])).toMatchObject([{ status: 'failed' }]);
    expect(await connector.apply([create('B')])).toMatchObject([{ status: 'applied' }]);
    expect(remote.counters.writes).toBe(1);
  });

  it('spoil an item until it is put again', async () => {
    const remote = createFakeRemote({ grade: 'B' });
    const id = remote.put(note('A'));
    remote.spoil(id, 'REMOTE_MALFORMED');
    expect((await page(remote.connect())).entries).toMatchObject([{ status: 'faulty' }]);
    remote.put(note('A', 'mended'));
    expect((await page(remote.connect())).entries).toMatchObject([{ status: 'present' }]);
  });
});

describe('grades', () => {
  it('A tells what changed and what is gone since a cursor, page by page', async () => {
    const remote = createFakeRemote({ grade: 'A', pageSize: 2 });
    for (const name of ['A', 'B', 'C', 'D']) remote.put(note(name));
    const connector = remote.connect();
    const first = await page(connector);
    expect(first).toMatchObject({ mode: 'scan', cursor: null, isComplete: false });
    const last = await page(connector, null, first.nextPage);
    expect(last).toMatchObject({ nextPage: null, isComplete: true });
    remote.remove('A');
    remote.put(note('C', 'new'));
    remote.put(note('E'));
    const changes = await page(connector, last.cursor);
    expect(changes.mode).toBe('changes');
    expect(changes.entries).toMatchObject([
      { remoteId: 'A', status: 'absent' },
      { remoteId: 'C', value: note('C', 'new') },
    ]);
    const rest = await page(connector, last.cursor, changes.nextPage);
    expect(rest.entries).toMatchObject([{ remoteId: 'E' }]);
    expect(await page(connector, rest.cursor)).toMatchObject({ mode: 'unchanged' });
  });

  it('A: a change during a listing belongs to the next one', async () => {
    const remote = createFakeRemote({ grade: 'A', pageSize: 1 });
    remote.put(note('A'));
    remote.put(note('B'));
    const connector = remote.connect();
    const first = await page(connector);
    remote.put(note('A', 'meanwhile'));
    const last = await page(connector, null, first.nextPage);
    const next = await page(connector, last.cursor);
    expect(next.entries).toMatchObject([{ remoteId: 'A', value: note('A', 'meanwhile') }]);
  });

  it('A: a feed can be forgotten', async () => {
    const remote = createFakeRemote({ grade: 'A' });
    remote.put(note('A'));
    const { cursor } = await page(remote.connect());
    remote.put(note('B'));
    remote.forgetFeed();
    await expect(page(remote.connect(), cursor)).rejects.toMatchObject({ code: 'CURSOR_EXPIRED' });
    expect((await page(remote.connect())).entries).toHaveLength(2);
  });

  it('A and B: a write between any two steps is never overwritten; C overwrites it', async () => {
    for (const grade of ['A', 'B', 'C'] as const) {
      const remote = createFakeRemote({ grade });
      const id = remote.put(note('A'));
      const connector = remote.connect();
      const [entry] = await connector.read([id]);
      const edit = () => void remote.put(note('A', 'theirs'));
      remote.hooks.inWindow = edit;
      if (grade !== 'C') remote.hooks.beforeCall = edit;
      const expectedVersion = entry?.status === 'present' ? entry.version : null;
      const op = { ...create('A'), action: 'update' as const, value: note('A', 'ours') };
      const [outcome] = await connector.apply([{ ...op, expectedVersion }]);
      expect(outcome?.status).toBe(grade === 'C' ? 'applied' : 'moved');
      expect(remote.get(id)).toEqual(note('A', grade === 'C' ? 'ours' : 'theirs'));
    }
  });

  it('normalises what it is sent and answers what it made of it', async () => {
    const normalise = (value: JsonObject) => ({ ...value, type: 'NOTE' });
    const remote = createFakeRemote({ grade: 'B', normalise });
    const [outcome] = await remote.connect().apply([create('A')]);
    expect(outcome).toMatchObject({ status: 'applied', written: { type: 'NOTE' } });
    expect((await page(remote.connect())).entries).toMatchObject([{ value: { type: 'NOTE' } }]);
  });

  it('gives ids as told: assigned ones stay through a rename, flaky ones never stay', () => {
    const assigned = createFakeRemote({ grade: 'B', ids: 'assigned' });
    const id = assigned.put(note('A'));
    expect(assigned.rename(id, 'B')).toBe(id);
    expect(assigned.putTwin(note('B'))).not.toBe(id);
    const flaky = createFakeRemote({ grade: 'B', ids: 'flaky' });
    const before = flaky.put(note('A'));
    expect(flaky.put(note('A', 'y'))).not.toBe(before);
    expect(flaky.all()).toHaveLength(1);
  });
});

describe('the fake connector type', () => {
  it('opens the remote its config names', async () => {
    const remotes = new Map([['one', createFakeRemote({ grade: 'C' })]]);
    const type = createFakeType(remotes);
    expect(type).toMatchObject({ kind: 'fake', capabilities: { grade: 'C' } });
    const context = {
      permissions: { fileRoots: [], stdioCommands: [] },
      secret: () => '',
      log: { debug: () => undefined, info: () => undefined, warn: () => undefined },
    };
    const connector = await type.open({ remote: 'one' }, context);
    await connector.apply([create('A')]);
    expect(remotes.get('one')?.all()).toHaveLength(1);
    await expect(type.open({ remote: 'two' }, context)).rejects.toMatchObject({
      code: 'CONNECTOR_UNREACHABLE',
    });
  });
});

it.each(['A', 'B', 'C'] as const)(
  'grade %s takes and lists 10,000 items quickly',
  async (grade) => {
    const remote = createFakeRemote({ grade, pageSize: 10_000 });
    const connector = remote.connect();
    const ops = Array.from({ length: 10_000 }, (_, index) => create(`Item ${index}`));
    const start = performance.now();
    await connector.apply(ops);
    const { entries } = await page(connector);
    const ms = Math.round(performance.now() - start);
    console.info(`grade ${grade}: 10,000 items applied and observed in ${ms} ms`);
    expect(entries).toHaveLength(10_000);
  },
);

/**
 * Foreign writes at the worst moments: between our look, each of our calls, and our second look.
 * Both sides are real memory server processes on one file; only the moment is arranged.
 */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../domain/clock.ts';
import type { RemoteOp } from '../../connectors/connector.ts';
import { applyOps } from '../../connectors/mcp-memory/apply-ops.ts';
import { createMcpSession, type McpSession } from '../../connectors/mcp-memory/mcp-session.ts';
import { entryOf } from '../../connectors/mcp-memory/memory-graph.ts';
import {
  createMemoryServer,
  GRAPH_URI,
  REQUIRED_TOOLS,
  type MemoryServer,
} from '../../connectors/mcp-memory/memory-server.ts';
import { createServerTransport } from '../../connectors/mcp-memory/server-transport.ts';
import { asRemoteId, canonicalMemory, type Memory } from '../../domain/item.ts';
import {
  createMemoryWorkspace,
  startForeignMemory,
  type ForeignMemory,
  type MemoryWorkspace,
} from '../conformance/memory-workspace.ts';

let workspace: MemoryWorkspace;
let session: McpSession;
let server: MemoryServer;
let foreign: ForeignMemory;

beforeEach(async () => {
  workspace = await createMemoryWorkspace();
  foreign = await startForeignMemory(workspace);
  session = createMcpSession({
    serverName: 'the server',
    createTransport: createServerTransport(workspace.config, workspace.context),
    requiredTools: REQUIRED_TOOLS,
    resourceUri: GRAPH_URI,
    callTimeoutMs: 10_000,
    log: workspace.context.log,
  });
  server = createMemoryServer(session, workspace.file);
});
afterEach(async () => {
  await Promise.all([session.close(), foreign.close()]);
  await workspace.remove();
});

describe('a foreign write that slips in', () => {
  it('as an observation survives ours, and ours is answered as we wrote it', async () => {
    const before = await given(memory('A', ['kept', 'old']));
    const after = memory('A', ['kept', 'new']);
    const outcomes = await apply([await update(before, after)], {
      before: 'delete_observations',
      act: () => add('A', 'foreign'),
    });
    expect(outcomes).toMatchObject([{ status: 'applied', written: after }]);
    expect(await valueOf('A')).toMatchObject({ observations: ['foreign', 'kept', 'new'] });
  });

  it('as a delete makes that op moved, and the rest of the batch is written', async () => {
    const [a, b] = [await given(memory('A', ['x'])), await given(memory('B', ['x']))];
    const ops = [
      await update(a, memory('A', ['x', 'ours'])),
      await update(b, memory('B', ['x', 'ours'])),
    ];
    const outcomes = await apply(ops, {
      before: 'add_observations',
      act: () => foreign.call('delete_entities', { entityNames: ['A'] }),
    });
    expect(outcomes).toMatchObject([
      { status: 'moved', current: { status: 'absent' } },
      { status: 'applied' },
    ]);
    expect(await valueOf('A')).toBeNull();
    expect(await valueOf('B')).toMatchObject({ observations: ['ours', 'x'] });
  });

  it('as a create of the same name is left as it is, and nothing of ours is hung on it', async () => {
    const theirs = memory('A', ['theirs']);
    const outcomes = await apply([create(memory('A', ['ours'], ['B'])), create(memory('B'))], {
      before: 'create_entities',
      act: () => foreign.put(theirs),
    });
    expect(outcomes).toMatchObject([
      { status: 'moved', current: { value: theirs } },
      { status: 'applied' },
    ]);
    expect(await valueOf('A')).toEqual(theirs);
  });

  it('as a removal of what we keep is not undone by our write', async () => {
    const before = await given(memory('A', ['kept', 'doomed']));
    const outcomes = await apply([await update(before, memory('A', ['doomed', 'kept', 'new']))], {
      before: 'add_observations',
      act: () =>
        foreign.call('delete_observations', {
          deletions: [{ entityName: 'A', observations: ['doomed'] }],
        }),
    });
    expect(outcomes).toMatchObject([{ status: 'applied' }]);
    expect(await valueOf('A')).toMatchObject({ observations: ['kept', 'new'] });
  });

  it('as an edit of what we delete makes the delete moved, with the edit kept', async () => {
    const before = await given(memory('A', ['x']));
    const text = await readFile(workspace.file, 'utf8');
    // Their server read the file before our delete and writes it back, edited, after it.
    const outcomes = await apply([await remove(before)], {
      after: 'delete_entities',
      act: () => writeFile(workspace.file, text.replace('"x"', '"x","theirs"')),
    });
    expect(outcomes).toMatchObject([{ status: 'moved', current: { status: 'present' } }]);
    expect(await valueOf('A')).toMatchObject({ observations: ['theirs', 'x'] });
  });
});

describe('a stale rewrite of the file', () => {
  const cases = ['create', 'update', 'retype', 'rename', 'delete'] as const;

  it.each(cases)('that undoes our %s once is noticed, and we write again', async (what) => {
    const { op, text, check } = await prepared(what);
    const outcomes = await apply([op], {
      beforeLook: 2,
      act: () => writeFile(workspace.file, text),
    });
    expect(outcomes).toMatchObject([{ status: 'applied' }]);
    await check();
  });

  it.each(cases)('that undoes our %s just after we saw it is noticed too', async (what) => {
    const { op, text, check } = await prepared(what);
    const outcomes = await apply([op], {
      inPause: true,
      act: () => writeFile(workspace.file, text),
    });
    expect(outcomes).toMatchObject([{ status: 'applied' }]);
    await check();
  });

  it.each(cases)('that keeps undoing our %s is answered as failed, to be retried', async (what) => {
    const { op, text } = await prepared(what);
    const outcomes = await apply([op], {
      beforeLook: 'each',
      act: () => writeFile(workspace.file, text),
    });
    expect(outcomes).toMatchObject([
      { status: 'failed', code: 'REMOTE_WRITE_RACED', isRetryable: true },
    ]);
    expect(await readFile(workspace.file, 'utf8')).toBe(text);
  });

  it('that takes everything away just after we wrote is not answered with a new graph of ours', async () => {
    await given(memory('A', ['x']));
    const outcomes = await apply([create(memory('B', ['y']))], {
      inPause: true,
      act: () => rm(workspace.file),
    });
    expect(outcomes).toMatchObject([
      { status: 'failed', code: 'REMOTE_WRITE_RACED', isRetryable: true },
    ]);
    await expect(readFile(workspace.file)).rejects.toThrow('ENOENT');
  });

  it('that keeps a part of our write is answered as moved', async () => {
    const before = await given(memory('A', ['x']));
    const text = await readFile(workspace.file, 'utf8');
    const outcomes = await apply([await update(before, memory('A', ['x', 'one', 'two']))], {
      beforeLook: 'each',
      act: () => writeFile(workspace.file, text.replace('"x"', '"x","one"')),
    });
    expect(outcomes).toMatchObject([{ status: 'moved', current: { status: 'present' } }]);
  });
});

it('a lease taken over stops the batch before the next call', async () => {
  const op = create(memory('A', ['x'], ['B']));
  let calls = 0;
  const applying = applyOps(
    {
      server,
      assertLeaseHeld: () => {
        calls += 1;
        if (calls > 1) throw new Error('the lease is gone');
      },
      random: () => 0.5,
      wait: () => Promise.resolve(),
      clock: systemClock,
    },
    [op],
  );
  await expect(applying).rejects.toThrow('the lease is gone');
  expect(await valueOf('A')).toMatchObject({ relations: [] });
});

/** When the foreign act happens: around the first call of a tool, or before our n-th look. */
interface Moment {
  readonly before?: string;
  readonly after?: string;
  /** 1 is the look before the writes; `each` means every look but that one. */
  readonly beforeLook?: number | 'each';
  /** In the pause after our write was seen to be there. */
  readonly inPause?: true;
  readonly act: () => Promise<void>;
}

async function apply(ops: RemoteOp[], moment: Moment) {
  let looks = 0;
  let isDone = false;
  const actOnce = async (isNow: boolean) => {
    if (!isNow || isDone) return;
    isDone = moment.beforeLook !== 'each';
    await moment.act();
  };
  const arranged: MemoryServer = {
    ...server,
    async readGraph(signal) {
      looks += 1;
      const isNow = moment.beforeLook === 'each' ? looks > 1 : looks === moment.beforeLook;
      await actOnce(isNow);
      return server.readGraph(signal);
    },
    async write(tool, args, signal) {
      await actOnce(tool === moment.before);
      const answer = await server.write(tool, args, signal);
      await actOnce(tool === moment.after);
      return answer;
    },
  };
  const rest = { assertLeaseHeld: () => undefined, random: () => 0, clock: systemClock };
  const wait = () => actOnce(moment.inPause === true);
  return applyOps({ server: arranged, ...rest, wait }, ops);
}

async function prepared(what: 'create' | 'update' | 'retype' | 'rename' | 'delete') {
  const incoming = await given(memory('Other', ['y'], ['A']));
  if (what === 'create') {
    const value = memory('A', ['x'], ['Other']);
    const check = async () => expect(await valueOf('A')).toEqual(value);
    return { op: create(value), text: await readFile(workspace.file, 'utf8'), check };
  }
  const before = await given(memory('A', ['x'], ['Other']));
  // Putting A anew swept the relation that pointed at it.
  const pointing = { from: 'Other', to: 'A', relationType: 'knows' };
  await foreign.call('create_relations', { relations: [pointing] });
  const text = await readFile(workspace.file, 'utf8');
  if (what === 'delete') {
    const check = async () => expect(await valueOf('A')).toBeNull();
    return { op: await remove(before), text, check };
  }
  const after = {
    update: memory('A', ['z'], []),
    retype: { ...before, type: 'person' },
    rename: { ...before, name: 'Z' },
  }[what];
  const check = async () => {
    expect(await valueOf(after.name)).toEqual(after);
    const relations = [{ to: after.name, type: 'knows' }];
    expect(await valueOf('Other')).toEqual({ ...incoming, relations });
  };
  return { op: await update(before, after), text, check };
}

async function given(value: Memory): Promise<Memory> {
  await foreign.put(value);
  return value;
}

const add = (entityName: string, text: string) =>
  foreign.call('add_observations', { observations: [{ entityName, contents: [text] }] });

async function valueOf(name: string): Promise<unknown> {
  const entry = entryOf(await server.readGraph(), name);
  return entry.status === 'present' ? entry.value : null;
}

function memory(name: string, observations: string[] = [], relatesTo: string[] = []): Memory {
  const relations = relatesTo.map((to) => ({ to, type: 'knows' }));
  return canonicalMemory({ name, type: 'note', observations, relations });
}

function create(value: Memory): RemoteOp {
  const remoteId = asRemoteId(value.name);
  const opId = `op-${value.name}`;
  return {
    opId,
    action: 'create',
    kind: 'memory',
    remoteId,
    value,
    expectedVersion: null,
  };
}

async function update(before: Memory, after: Memory): Promise<RemoteOp> {
  const entry = entryOf(await server.readGraph(), before.name);
  const expectedVersion = entry.status === 'present' ? entry.version : null;
  const remoteId = asRemoteId(before.name);
  return { ...create(after), action: 'update', remoteId, expectedVersion };
}

async function remove(before: Memory): Promise<RemoteOp> {
  return { ...(await update(before, before)), action: 'delete', value: null };
}

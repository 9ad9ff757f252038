/** The mcp-memory connector against real memory server processes. */
import { mkdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ApplyOutcome, Connector, RemoteOp } from '../../connectors/connector.ts';
import { createMcpMemory, mcpMemory } from '../../connectors/mcp-memory/mcp-memory.ts';
import { asRemoteId, canonicalMemory, type Memory } from '../../domain/item.ts';
import {
  createMemoryWorkspace,
  startForeignMemory,
  type ForeignMemory,
  type MemoryWorkspace,
} from '../conformance/memory-workspace.ts';

let workspace: MemoryWorkspace;
const closers: (() => Promise<unknown>)[] = [];
let opCount = 0;

beforeEach(async () => {
  workspace = await createMemoryWorkspace();
});
afterEach(async () => {
  await Promise.all(closers.splice(0).map((close) => close()));
  await workspace.remove();
});

describe('the memory file', () => {
  it('reads a missing file as a complete, empty scan', async () => {
    const seen = await look(await open());
    expect(seen).toMatchObject({ mode: 'scan', entries: [], isComplete: true });
  });

  it('treats a missing folder as a remote that is out, never as an empty one', async () => {
    const connector = await open();
    await rm(workspace.folder, { recursive: true });
    const out = { code: 'CONNECTOR_UNREACHABLE', retryable: true };
    await expect(look(connector)).rejects.toMatchObject(out);
    await expect(connector.probe()).rejects.toMatchObject(out);
    await expect(connector.apply([create(memory('A'))])).rejects.toMatchObject(out);
    await expect(open()).rejects.toMatchObject(out);
  });

  it('names file and line of a malformed line, never its text, and overwrites nothing', async () => {
    const connector = await open();
    const text = `${line(memory('A'))}\n\n{"type":"entity", SECRET-TEXT\n${line(memory('B'))}`;
    await writeFile(workspace.file, text);
    const attempt = look(connector);
    await expect(attempt).rejects.toMatchObject({ code: 'REMOTE_MALFORMED', extra: { line: 3 } });
    await expect(attempt).rejects.toThrow(workspace.file);
    await expect(attempt).rejects.not.toThrow('SECRET');
    await expect(connector.apply([create(memory('C'))])).rejects.toMatchObject({
      code: 'REMOTE_MALFORMED',
    });
    expect(await readFile(workspace.file, 'utf8')).toBe(text);
    await writeFile(workspace.file, text.replace(/\{"type":"entity", S.*\n/, ''));
    expect(namesIn(await look(connector))).toEqual(['A', 'B']);
  });

  it('refuses a file that is not UTF-8 instead of spoiling it', async () => {
    const connector = await open();
    const bytes = Buffer.concat([Buffer.from(line(memory('A', ['caf']))), Buffer.from('\n')]);
    const spoiled = Buffer.from(bytes);
    spoiled[spoiled.indexOf('caf') + 2] = 0xe9;
    await writeFile(workspace.file, spoiled);
    const refusal = { code: 'REMOTE_NOT_UTF8' };
    await expect(look(connector)).rejects.toMatchObject(refusal);
    await expect(connector.apply([create(memory('C'))])).rejects.toMatchObject(refusal);
    expect(await readFile(workspace.file)).toEqual(spoiled);
  });

  it('accepts a real U+FFFD', async () => {
    const connector = await open();
    await writeFile(workspace.file, line(memory('A', ['odd \uFFFD'])));
    expect(namesIn(await look(connector))).toEqual(['A']);
  });

  it('sets aside an entity of a wrong shape and goes on with the rest', async () => {
    const connector = await open();
    const broken = '{"type":"entity","name":"Broken","entityType":"note"}';
    await writeFile(workspace.file, `${broken}\n${line(memory('Fine'))}`);
    const seen = await look(connector);
    expect(seen.entries).toEqual([
      expect.objectContaining({ status: 'faulty', remoteId: 'Broken', code: 'ITEM_INVALID' }),
      expect.objectContaining({ status: 'present', remoteId: 'Fine' }),
    ]);
    const [outcome] = await connector.apply([create(memory('New'))]);
    expect(outcome?.status).toBe('applied');
    expect(await readFile(workspace.file, 'utf8')).toContain(broken);
  });

  it('reports two entities of one name as one fault', async () => {
    const connector = await open();
    const lines = [line(memory('Twin', ['1'])), line(memory('Twin', ['2'])), line(memory('Fine'))];
    await writeFile(workspace.file, lines.join('\n'));
    const seen = await look(connector);
    expect(seen.entries).toHaveLength(2);
    expect(seen.entries[0]).toMatchObject({ remoteId: 'Twin', code: 'ITEM_NAME_TAKEN' });
    const outcome = await applyOne(connector, create(memory('Twin', ['3'])));
    expect(outcome).toMatchObject({ status: 'moved', current: { status: 'faulty' } });
  });
});

describe('relations', () => {
  it('belong to the entity they start at; those of unknown entities are left alone', async () => {
    const connector = await open();
    await writeFile(
      workspace.file,
      [line(memory('A')), relationLine('A', 'Nowhere'), relationLine('Ghost', 'A')].join('\n'),
    );
    const seen = await look(connector);
    expect(namesIn(seen)).toEqual(['A']);
    expect(valueOf(seen, 'A').relations).toEqual([{ to: 'Nowhere', type: 'knows' }]);
    await applyOne(connector, create(memory('B')));
    expect(await readFile(workspace.file, 'utf8')).toContain(relationLine('Ghost', 'A'));
  });

  it('are added and removed as differences', async () => {
    const connector = await open();
    const before = memory('A', ['x'], ['B', 'C']);
    await connector.apply([create(before), create(memory('B')), create(memory('C'))]);
    const after = memory('A', ['x'], ['C', 'D']);
    const outcome = await applyOne(connector, await update(connector, before, after));
    expect(outcome).toMatchObject({ status: 'applied', written: after });
    expect(valueOf(await look(connector), 'A')).toEqual(after);
  });

  it('of others survive a change of type', async () => {
    const connector = await open();
    const others = [memory('B', [], ['A']), memory('C', ['y'], ['A', 'B'])];
    const before = memory('A', ['x'], ['B']);
    await connector.apply([create(before), ...others.map(create)]);
    const after = { ...before, type: 'person', observations: ['x', 'z'] };
    const outcome = await applyOne(connector, await update(connector, before, after));
    expect(outcome).toMatchObject({ status: 'applied', written: after });
    const seen = await look(connector);
    for (const value of [after, ...others]) expect(valueOf(seen, value.name)).toEqual(value);
  });

  it('of others follow a rename', async () => {
    const connector = await open();
    const before = memory('Old', ['x'], ['B']);
    await connector.apply([create(before), create(memory('B', [], ['Old']))]);
    const after = { ...before, name: 'New' };
    const outcome = await applyOne(connector, await update(connector, before, after));
    expect(outcome).toMatchObject({ status: 'applied', remoteId: 'New', written: after });
    const seen = await look(connector);
    expect(namesIn(seen)).toEqual(['B', 'New']);
    expect(valueOf(seen, 'B').relations).toEqual([{ to: 'New', type: 'knows' }]);
  });

  it('that an op of the same batch keeps towards a deleted entity are kept', async () => {
    const connector = await open();
    const a = memory('A', ['x'], ['Gone']);
    await connector.apply([create(a), create(memory('Gone')), create(memory('B', [], ['Gone']))]);
    const kept = { ...a, observations: ['x', 'y'] };
    const ops = [await update(connector, a, kept), await remove(connector, 'Gone')];
    const outcomes = await connector.apply(ops);
    expect(outcomes.map((outcome) => outcome.status)).toEqual(['applied', 'applied']);
    const seen = await look(connector);
    expect(valueOf(seen, 'A')).toEqual(kept);
    // Nobody spoke for B: what the server sweeps away is a change of that remote.
    expect(valueOf(seen, 'B').relations).toEqual([]);
  });

  it('and names survive two entities trading names in one batch', async () => {
    const connector = await open();
    const [a, b] = [memory('A', ['was a']), memory('B', ['was b'])];
    await connector.apply([create(a), create(b)]);
    const ops = [
      await update(connector, a, { ...a, name: 'B' }),
      await update(connector, b, { ...b, name: 'A' }),
    ];
    const outcomes = await connector.apply(ops);
    expect(outcomes.map((outcome) => outcome.status)).toEqual(['applied', 'applied']);
    const seen = await look(connector);
    expect(valueOf(seen, 'A').observations).toEqual(['was b']);
    expect(valueOf(seen, 'B').observations).toEqual(['was a']);
  });

  it('are not touched when a new name is taken', async () => {
    const connector = await open();
    const a = memory('A');
    await connector.apply([create(a), create(memory('B'))]);
    const rename = await update(connector, a, { ...a, name: 'B' });
    const outcome = await applyOne(connector, rename);
    expect(outcome).toMatchObject({ status: 'failed', code: 'ITEM_NAME_TAKEN' });
    expect(namesIn(await look(connector))).toEqual(['A', 'B']);
  });
});

describe('other writers', () => {
  it('are seen through the file, and hints come from their writes and from outside edits', async () => {
    const connector = await open();
    const foreign = await startForeign();
    const hints = createHints();
    closers.push(await connector.watch!(hints.hint));
    await hints.after(() => foreign.put(memory('A', ['foreign'])));
    expect(namesIn(await look(connector))).toEqual(['A']);
    await hints.after(() => writeFile(workspace.file, line(memory('B'))));
    expect(namesIn(await look(connector))).toEqual(['B']);
    await hints.after(() => rm(workspace.file));
    expect(namesIn(await look(connector))).toEqual([]);
  });

  it('that write in parallel cost retries, and in the end every write of ours is there', async () => {
    const connector = await open();
    const foreign = await startForeign();
    const ours = Array.from({ length: 30 }, (_, index) => memory(`Ours ${index}`, ['x']));
    const theirs = (async () => {
      for (let index = 0; index < 60; index += 1) await foreign.put(memory(`Theirs ${index}`));
    })();
    const outcomes: ApplyOutcome[] = [];
    for (const value of ours) outcomes.push(await applyOne(connector, create(value)));
    await theirs;
    for (const outcome of outcomes)
      expect(['applied', 'failed', 'moved']).toContain(outcome.status);
    // What a stale rewrite of theirs took away again, the next run puts back.
    const left = namesIn(await look(connector));
    const missing = ours.filter((value) => !left.includes(value.name));
    const again = await connector.apply(missing.map(create));
    expect(again.every((outcome) => outcome.status === 'applied')).toBe(true);
    expect(namesIn(await look(connector))).toEqual(
      expect.arrayContaining(ours.map((value) => value.name)),
    );
  });

  it('of our own kind take turns: two connectors on one file lose nothing', async () => {
    const [one, two] = [await open(), await open()];
    const names = Array.from({ length: 24 }, (_, index) => `N${String(index).padStart(2, '0')}`);
    const outcomes = await Promise.all(
      names.map((name, at) => applyOne(at % 2 ? one : two, create(memory(name)))),
    );
    expect(outcomes.every((outcome) => outcome.status === 'applied')).toBe(true);
    expect(namesIn(await look(one))).toEqual(names);
  });

  it('that crashed leave a lease that is taken over once it is stale', async () => {
    const connector = await open();
    const lease = join(workspace.folder, '.memory.jsonl.syncline-lock');
    await mkdir(lease);
    const almostStale = new Date(Date.now() - 3_000);
    await utimes(lease, almostStale, almostStale);
    expect(await applyOne(connector, create(memory('A')))).toMatchObject({ status: 'applied' });
    await expect(stat(lease)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('the server process', () => {
  it('is started again at the next call after it was killed', async () => {
    const { connector, pid } = await openWithPid();
    await applyOne(connector, create(memory('A')));
    const first = await pid();
    process.kill(first, 'SIGKILL');
    expect(namesIn(await look(connector))).toEqual(['A']);
    expect(await pid()).not.toBe(first);
    process.kill(await pid(), 'SIGKILL');
    // Whether a write reached the dying server nobody knows, so it is not repeated blindly.
    const outcome = await applyOne(connector, create(memory('B'))).catch((error: unknown) => error);
    expect(outcome).toMatchObject({ status: 'applied' });
  });

  it('that hangs is given up in time, killed, and replaced at the next call', async () => {
    const { connector, pid } = await openWithPid(1_500);
    const first = await pid();
    process.kill(first, 'SIGSTOP');
    await expect(look(connector)).rejects.toMatchObject({ code: 'CONNECTOR_UNREACHABLE' });
    expect(namesIn(await look(connector))).toEqual([]);
    expect(await pid()).not.toBe(first);
    await expectGone(first);
  });

  it('is asked for hints again after it was replaced', async () => {
    const { connector, pid } = await openWithPid();
    const hints = createHints();
    closers.push(await connector.watch!(hints.hint));
    process.kill(await pid(), 'SIGKILL');
    await look(connector);
    await hints.after(() => applyOne(connector, create(memory('A'))));
  });

  it('ends when the connector is closed', async () => {
    const { connector, pid } = await openWithPid();
    await look(connector);
    await connector.close();
    await expectGone(await pid());
    await expect(look(connector)).rejects.toMatchObject({ code: 'CONNECTOR_UNREACHABLE' });
  });

  it('that cannot be started, or is another kind of server, is said so', async () => {
    const cases = [
      { command: '/no/such/program', says: 'ENOENT' },
      { command: 'false', says: 'closed' },
    ];
    for (const { command, says } of cases) {
      const permissions = { ...workspace.context.permissions, stdioCommands: [command] };
      const attempt = mcpMemory.open({ command }, { ...workspace.context, permissions });
      await expect(attempt).rejects.toMatchObject({ code: 'CONNECTOR_UNREACHABLE' });
      await expect(attempt).rejects.toThrow(says);
    }
  });

  it('gets only a minimal environment, and its error output is logged without secrets', async () => {
    const dump = join(workspace.folder, 'env.json');
    const script =
      'node -e \'require("fs").writeFileSync(process.argv[1], JSON.stringify(process.env))\' "$0";' +
      'echo "token is $TOKEN" >&2; exec "$@"';
    process.env['SYNCLINE_TEST_LEAK'] = 'leaked';
    const [server = ''] = workspace.config.args ?? [];
    const connector = await mcpMemory.open(
      {
        command: 'sh',
        args: ['-c', script, dump, process.execPath, server],
        env: { TOKEN: { env: 'MY_TOKEN' } },
        memoryFile: workspace.file,
      },
      { ...allowing('sh'), secret: (name) => `secret-of-${name}` },
    );
    closers.push(() => connector.close());
    delete process.env['SYNCLINE_TEST_LEAK'];
    const env = JSON.parse(await readFile(dump, 'utf8')) as Record<string, string>;
    expect(env).toMatchObject({ TOKEN: 'secret-of-MY_TOKEN', MEMORY_FILE_PATH: workspace.file });
    expect(env['SYNCLINE_TEST_LEAK']).toBeUndefined();
    expect(JSON.stringify(workspace.logged)).toContain('token is ***');
  });
});

describe('permissions', () => {
  it('cover the command and the folder of the memory file', async () => {
    const { config, context } = workspace;
    const attempt = (permissions: Partial<typeof context.permissions>) =>
      mcpMemory.open(config, {
        ...context,
        permissions: { ...context.permissions, ...permissions },
      });
    const refusal = { code: 'CONNECTOR_NOT_ALLOWED' };
    await expect(attempt({ stdioCommands: ['node-of-somebody'] })).rejects.toMatchObject(refusal);
    await expect(attempt({ fileRoots: [join(workspace.folder, 'sub')] })).rejects.toMatchObject(
      refusal,
    );
  });

  it('see through a link that leads out of the allowed folder', async () => {
    const inside = join(workspace.folder, 'allowed');
    await mkdir(inside);
    await symlink(workspace.folder, join(inside, 'way-out'));
    const config = { ...workspace.config, memoryFile: join(inside, 'way-out', 'memory.jsonl') };
    const permissions = { ...workspace.context.permissions, fileRoots: [inside] };
    await expect(
      mcpMemory.open(config, { ...workspace.context, permissions }),
    ).rejects.toMatchObject({ code: 'PATH_ESCAPES_ROOT' });
  });
});

describe('size', () => {
  it('writes, edits and deletes 1,000 entities, each in one batch', async () => {
    const connector = await open();
    const values = Array.from({ length: 1000 }, (_, index) =>
      memory(`Entity ${index}`, [`fact ${index}`, 'shared'], [`Entity ${(index + 1) % 1000}`]),
    );
    const edited = values.map((value) => memory(value.name, ['shared', 'new'], ['Entity 0']));
    const created = await timed('create', () => connector.apply(values.map(create)));
    expect(created.every((outcome) => outcome.status === 'applied')).toBe(true);
    const updates = values.map((_, index) => ({
      ...create(edited[index]!),
      action: 'update' as const,
      expectedVersion: versionOf(created[index]),
    }));
    const updated = await timed('update', () => connector.apply(updates));
    expect(updated.every((outcome) => outcome.status === 'applied')).toBe(true);
    const seen = await timed('observe', () => look(connector));
    expect(valueOf(seen, 'Entity 500')).toEqual(edited[500]);
    const again = await timed('observe again', () =>
      connector.observe({ since: seen.cursor, page: null }),
    );
    expect(again.mode).toBe('unchanged');
    const deletes = updated.map((outcome, index) => ({
      ...create(edited[index]!),
      action: 'delete' as const,
      value: null,
      expectedVersion: versionOf(outcome),
    }));
    const deleted = await timed('delete', () => connector.apply(deletes));
    expect(deleted.every((outcome) => outcome.status === 'applied')).toBe(true);
  });

  it('splits what is larger than one message', async () => {
    const connector = await open();
    const values = Array.from({ length: 12 }, (_, index) =>
      memory(`Big ${index}`, [`${index} ${'x'.repeat(1_000_000)}`]),
    );
    const outcomes = await connector.apply(values.map(create));
    expect(outcomes.every((outcome) => outcome.status === 'applied')).toBe(true);
    const tooBig = memory('Too big', ['y'.repeat(9 * 1024 * 1024)]);
    expect(await applyOne(connector, create(tooBig))).toMatchObject({ code: 'ITEM_INVALID' });
    expect(namesIn(await look(connector))).toHaveLength(12);
  });
});

async function open(): Promise<Connector> {
  const connector = await mcpMemory.open(workspace.config, workspace.context);
  closers.push(() => connector.close());
  return connector;
}

async function startForeign(): Promise<ForeignMemory> {
  const foreign = await startForeignMemory(workspace);
  closers.push(() => foreign.close());
  return foreign;
}

/** Starts the server through a shell that notes its process id first. */
async function openWithPid(callTimeoutMs = 10_000) {
  const note = join(workspace.folder, 'pid');
  const [server = ''] = workspace.config.args ?? [];
  const script = `echo $$ > "$0"; exec "$@"`;
  const connector = await createMcpMemory({ callTimeoutMs }).open(
    {
      command: 'sh',
      args: ['-c', script, note, process.execPath, server],
      memoryFile: workspace.file,
    },
    allowing('sh'),
  );
  closers.push(() => connector.close());
  return { connector, pid: async () => Number(await readFile(note, 'utf8')) };
}

function allowing(command: string) {
  const permissions = { fileRoots: [dirname(workspace.file)], stdioCommands: [command] };
  return { ...workspace.context, permissions };
}

const look = (connector: Connector) => connector.observe({ since: null, page: null });

async function applyOne(connector: Connector, op: RemoteOp): Promise<ApplyOutcome> {
  const [outcome] = await connector.apply([op]);
  return outcome!;
}

function memory(name: string, observations: string[] = [], relatesTo: string[] = []): Memory {
  const relations = relatesTo.map((to) => ({ to, type: 'knows' }));
  return canonicalMemory({ name, type: 'note', observations, relations });
}

function create(value: Memory): RemoteOp {
  opCount += 1;
  return {
    opId: `op-${opCount}`,
    action: 'create',
    kind: 'memory',
    remoteId: asRemoteId(value.name),
    value,
    expectedVersion: null,
  };
}

async function update(connector: Connector, before: Memory, after: Memory): Promise<RemoteOp> {
  const [entry] = await connector.read([asRemoteId(before.name)]);
  const expectedVersion = entry?.status === 'present' ? entry.version : null;
  const remoteId = asRemoteId(before.name);
  return { ...create(after), action: 'update', remoteId, expectedVersion };
}

async function remove(connector: Connector, name: string): Promise<RemoteOp> {
  const op = await update(connector, memory(name), memory(name));
  return { ...op, action: 'delete', value: null };
}

function namesIn(seen: Awaited<ReturnType<typeof look>>): string[] {
  return seen.entries.map((entry) => entry.remoteId).sort();
}

function valueOf(seen: Awaited<ReturnType<typeof look>>, name: string): Memory {
  const entry = seen.entries.find((one) => one.remoteId === name);
  if (entry?.status !== 'present') throw new Error(`${name} is not there`);
  return entry.value as Memory;
}

function versionOf(outcome: ApplyOutcome | undefined): string | null {
  return outcome?.status === 'applied' ? outcome.version : null;
}

function line({ name, type, observations }: Memory): string {
  return JSON.stringify({ type: 'entity', name, entityType: type, observations });
}

function relationLine(from: string, to: string): string {
  return JSON.stringify({ type: 'relation', from, to, relationType: 'knows' });
}

/** Hints to wait for: each `after` resolves at the first hint that follows what it did. */
function createHints() {
  let wake: () => void = () => undefined;
  return {
    hint: () => wake(),
    async after(act: () => Promise<unknown>): Promise<void> {
      const hinted = new Promise<void>((resolve) => (wake = resolve));
      await act();
      await hinted;
    },
  };
}

async function expectGone(pid: number): Promise<void> {
  await expect
    .poll(
      () => {
        try {
          return process.kill(pid, 0);
        } catch {
          return false;
        }
      },
      { timeout: 5_000 },
    )
    .toBe(false);
}

async function timed<Result>(what: string, work: () => Promise<Result>): Promise<Result> {
  const start = performance.now();
  const result = await work();
  console.info(`1,000 entities: ${what} took ${Math.round(performance.now() - start)} ms`);
  return result;
}

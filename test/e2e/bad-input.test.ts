/** What the product says to input it cannot use: a clear error with a code, and nothing half-written. */
import {
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { SyncError, type ContextClient, type Run } from '../../client/index.ts';
import { shownHead } from '../support/feed-shown.ts';
import {
  startSyncline,
  type SynclineOptions,
  type SynclineProcess,
} from '../support/syncline-process.ts';
import {
  createTwoSides,
  linkBoth,
  memory,
  type TwoLinks,
  type TwoSides,
} from '../support/two-sides.ts';

const SOON = { timeout: 15_000, interval: 20 };
const MARKDOWN = '# Memories\n\n## Preferences\n\n- Tabs\n';
const GRAPH = [memory('Ada', ['maintains the parser'], { type: 'person' })];

let syncline: SynclineProcess;
let client: ContextClient;
/** A folder the product may not open. */
let outside: string;

beforeAll(async () => {
  outside = realpathSync(mkdtempSync(join(tmpdir(), 'syncline-outside-')));
  syncline = await startSyncline();
  ({ client } = syncline);
}, 120_000);
afterAll(async () => {
  await syncline.close();
  rmSync(outside, { recursive: true, force: true });
});

describe('a link that may not be is refused, and nothing is stored', () => {
  const link = (connector: string, config: object) =>
    client.links.create({
      name: 'refused',
      connector,
      config: config as never,
      scope: { prefix: 'refused/' },
    });

  it.each([
    ['an unknown connector', 400, 'VALIDATION', () => link('notion', {})],
    [
      'a config the connector does not know',
      400,
      'VALIDATION',
      () => link('factory-files', { folder: '/x' }),
    ],
    [
      'a command not on the allow-list',
      403,
      'CONNECTOR_NOT_ALLOWED',
      () => link('mcp-memory', { command: 'sh' }),
    ],
    [
      'a root outside the allowed roots',
      403,
      'CONNECTOR_NOT_ALLOWED',
      () => link('factory-files', { root: outside }),
    ],
    [
      'a memory file outside the allowed roots',
      403,
      'CONNECTOR_NOT_ALLOWED',
      () =>
        link('mcp-memory', {
          command: process.execPath,
          memoryFile: join(outside, 'memory.jsonl'),
        }),
    ],
  ] as const)('%s', async (_what, status, code, attempt) => {
    const error = await attempt().then(
      () => null,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(SyncError);
    expect(error).toMatchObject({ status, code, requestId: expect.any(String) as string });
    expect((error as SyncError).message.length).toBeGreaterThan(10);
    expect((await client.links.list()).filter(({ name }) => name === 'refused')).toEqual([]);
  });

  it('names the field that is wrong', async () => {
    await expect(link('notion', {})).rejects.toMatchObject({ errors: [{ pointer: '/connector' }] });
    await expect(link('factory-files', { root: 'here' })).rejects.toMatchObject({
      errors: [{ pointer: '/config/root' }],
    });
    await expect(link('mcp-memory', {})).rejects.toMatchObject({
      errors: [{ pointer: '/config', detail: expect.stringMatching(/^needs either/) as string }],
    });
    await expect(link('hub', { url: 'ftp://127.0.0.1' })).rejects.toMatchObject({
      errors: [{ pointer: '/config/url', detail: expect.stringContaining('http://') as string }],
    });
  });
});

describe('a remote that cannot be read fails the run with its reason, is left alone, and goes on once mended', () => {
  interface Case {
    readonly side: keyof TwoLinks;
    readonly code: string;
    readonly says: RegExp;
    /** Breaks the file; answers which file may not change from then on. */
    readonly spoil: (sides: TwoSides) => string;
    readonly mend?: (sides: TwoSides) => void;
  }
  const cases: readonly (readonly [string, Case])[] = [
    [
      'a malformed memory line',
      {
        side: 'memory',
        code: 'REMOTE_MALFORMED',
        says: /Line 3 of .*memory\.jsonl/,
        spoil: ({ memoryFile }) =>
          spoiled(memoryFile, (text) => `${text}\n{"type":"entity","name":`),
      },
    ],
    [
      'invalid UTF-8 in memories.md',
      {
        side: 'factory',
        code: 'REMOTE_NOT_UTF8',
        says: /memories\.md/,
        spoil: ({ memories }) =>
          spoiled(memories, (text) =>
            Buffer.concat([Buffer.from(text), Buffer.from([0x2d, 0x20, 0xff, 0xfe, 0x0a])]),
          ),
      },
    ],
    [
      'invalid UTF-8 in the memory file',
      {
        side: 'memory',
        code: 'REMOTE_NOT_UTF8',
        says: /memory\.jsonl/,
        spoil: ({ memoryFile }) =>
          spoiled(memoryFile, (text) =>
            Buffer.concat([
              Buffer.from(
                `${text}\n{"type":"entity","name":"X","entityType":"t","observations":["`,
              ),
              Buffer.from([0xff]),
              Buffer.from('"]}'),
            ]),
          ),
      },
    ],
    [
      'a 20 MB memories.md',
      {
        side: 'factory',
        code: 'REMOTE_TOO_LARGE',
        says: /memories\.md.*5 MiB/,
        spoil: ({ memories }) =>
          spoiled(memories, (text) => text + '- one more fact, and then some\n'.repeat(680_000)),
      },
    ],
    [
      'a memories.md that is a link out of the root',
      {
        side: 'factory',
        code: 'PATH_ESCAPES_ROOT',
        says: /memories\.md/,
        spoil: ({ memories, prefix }) => movedOut(memories, prefix),
        mend: ({ memories, prefix }) => movedBack(memories, prefix),
      },
    ],
    [
      'a .factory folder that is a link out of the root',
      {
        side: 'factory',
        code: 'PATH_ESCAPES_ROOT',
        says: /memories\.md/,
        spoil: ({ root, prefix }) => join(movedOut(join(root, '.factory'), prefix), 'memories.md'),
        mend: ({ root, prefix }) => movedBack(join(root, '.factory'), prefix),
      },
    ],
    [
      'a memory file that is a link out of the root',
      {
        side: 'memory',
        code: 'PATH_ESCAPES_ROOT',
        says: /memory\.jsonl/,
        spoil: ({ memoryFile, prefix }) => movedOut(memoryFile, prefix),
        mend: ({ memoryFile, prefix }) => movedBack(memoryFile, prefix),
      },
    ],
  ];

  it.each(cases)('%s', async (_what, { side, code, says, spoil, mend }) => {
    const sides = await createTwoSides(syncline.folder, { markdown: MARKDOWN, graph: GRAPH });
    const links = await linkBoth(client, sides);
    await agreed(sides);
    const whole = {
      markdown: readFileSync(sides.memories, 'utf8'),
      graph: readFileSync(sides.memoryFile, 'utf8'),
    };
    const cursor = await shownHead(client);

    const watched = spoil(sides);
    const bytes = readFileSync(watched);
    const run = await requestRun(links[side].id);
    expect(run).toMatchObject({
      status: 'failed',
      error: { code, detail: expect.stringMatching(says) as string },
    });
    expect(await client.links.status(links[side].id)).toMatchObject({ state: 'failed' });

    // The other side goes on, and nothing of it reaches the side that cannot be read.
    const other = side === 'factory' ? 'memory' : 'factory';
    expect(await requestRun(links[other].id)).toMatchObject({ status: 'settled' });
    await client.store(`${sides.prefix}new`, memory('New', ['since then']), {
      kind: 'memory',
      ttl: null,
    });
    await vi.waitFor(
      () =>
        expect((other === 'memory' ? sides.entities() : sides.sections()).has('New')).toBe(true),
      SOON,
    );
    expect(await requestRun(links[side].id)).toMatchObject({ status: 'failed', error: { code } });
    expect(readFileSync(watched).equals(bytes)).toBe(true);
    const { changes } = await client.changes({ since: cursor });
    expect(changes.filter(({ key }) => key.startsWith(sides.prefix)).map(({ key }) => key)).toEqual(
      [`${sides.prefix}new`],
    );

    if (mend) mend(sides);
    else
      writeFileSync(
        side === 'factory' ? sides.memories : sides.memoryFile,
        side === 'factory' ? whole.markdown : whole.graph,
      );
    expect(await requestRun(links[side].id)).toMatchObject({ status: 'settled', error: null });
    await agreed(sides);
    expect([...sides.entities().keys()].sort()).toEqual(['Ada', 'New', 'Preferences']);
  });

  /** Put in place whole, since a pass may read at any moment, also while 20 MB are written. */
  function spoiled(file: string, change: (text: string) => string | Buffer): string {
    const draft = join(outside, `${basename(file)}.draft`);
    writeFileSync(draft, change(readFileSync(file, 'utf8')));
    renameSync(draft, file);
    return file;
  }

  function movedOut(path: string, prefix: string): string {
    const target = join(outside, prefix.replace('/', ''));
    renameSync(path, target);
    symlinkSync(target, path);
    return target;
  }

  function movedBack(path: string, prefix: string): void {
    rmSync(path);
    renameSync(join(outside, prefix.replace('/', '')), path);
  }

  async function agreed(sides: TwoSides): Promise<void> {
    await vi.waitFor(() => {
      expect(sides.sections().size).toBeGreaterThan(1);
      expect(sides.sections()).toEqual(sides.entities());
    }, SOON);
  }

  async function requestRun(link: string): Promise<Run> {
    const { runId } = await client.runs.start(link, 'test');
    return client.runs.wait(runId, { timeoutMs: 20_000, pollMs: 20 });
  }
});

describe('a start that cannot work ends with its reason', () => {
  async function failedStart(
    config: SynclineOptions['config'],
  ): Promise<{ ended: string; said: string }> {
    const other = await startSyncline({ isStarted: false, ...(config ? { config } : {}) });
    try {
      return await other.startToEnd();
    } finally {
      await other.close();
    }
  }

  it('when the port is in use', async () => {
    const port = Number(new URL(syncline.url).port);
    const { ended, said } = await failedStart({ api: { port } });
    expect(ended).toBe('exit code 1');
    expect(said).toMatch(new RegExp(`error PORT_IN_USE: .*${port}`));
    expect((await client.health()).status).toBe('ok');
  });

  it('when a configuration key is wrong, with every fault at once', async () => {
    const { ended, said } = await failedStart({ api: { prot: 3100 }, sync: { pulse_ms: 'often' } });
    expect(ended).toBe('exit code 1');
    expect(said).toContain('error CONFIG_INVALID: the configuration has 2 fault(s)');
    expect(said).toMatch(/api\.prot: is not a setting; did you mean api\.port/);
    expect(said).toMatch(/sync\.pulse_ms: .*"often"/);
  });
});

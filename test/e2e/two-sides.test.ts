/**
 * The main job, whole: the product as a process, a real `memories.md`, a real memory server, through
 * Temporal, with nobody calling anything but the files' own users.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import type { WorkflowHandle } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ContextClient, Link, Run } from '../../client/index.ts';
import type { Memory } from '../../domain/item.ts';
import { syncWorkflowId } from '../../workflows/contract.ts';
import { shownHead } from '../support/feed-shown.ts';
import { historyText } from '../support/temporal-history.ts';
import { startSyncline, type SynclineProcess } from '../support/syncline-process.ts';
import {
  createTwoSides,
  graphText,
  linkBoth,
  memory,
  type TwoLinks,
  type TwoSides,
} from '../support/two-sides.ts';

const SOON = { timeout: 15_000, interval: 20 };

const MARKDOWN = `# Project memories

Notes for the team; people read this file.

## Preferences

- Tabs, not spaces
- [2026-11-01] Answers in English

## Architecture Decisions

**Decision**: one database.
`;
const GRAPH = [
  memory('Ada', ['maintains the parser'], {
    type: 'person',
    relations: [{ to: 'Parser', type: 'maintains' }],
  }),
  memory('Parser', ['written in TypeScript'], { type: 'component' }),
];

let syncline: SynclineProcess;
let client: ContextClient;

beforeAll(async () => {
  syncline = await startSyncline();
  ({ client } = syncline);
}, 120_000);
afterAll(() => syncline.close());

interface Pair {
  readonly sides: TwoSides;
  readonly links: TwoLinks;
}

/** Both sides linked and equal. */
async function pair(
  content: Parameters<typeof createTwoSides>[1] = { markdown: MARKDOWN, graph: GRAPH },
): Promise<Pair> {
  const sides = await createTwoSides(syncline.folder, content);
  const links = await linkBoth(client, sides);
  await agreed(sides);
  return { sides, links };
}

/** Waits until both files say the same. */
async function agreed(sides: TwoSides): Promise<void> {
  await vi.waitFor(() => {
    expect(sides.sections().size).toBeGreaterThan(0);
    expect(sides.sections()).toEqual(sides.entities());
  }, SOON);
}

async function requestRun(link: Link): Promise<Run> {
  const { runId } = await client.runs.start(link.id, 'test');
  return client.runs.wait(runId, { timeoutMs: 20_000, pollMs: 20 });
}

const observationsOf = (side: ReadonlyMap<string, Memory>, name: string): readonly string[] =>
  side.get(name)?.observations ?? [];

describe('a fact travels by itself', () => {
  it('from a bullet in memories.md to an observation in the graph', async () => {
    const { sides } = await pair();
    sides.addBullet('Reviews before merging');
    await vi.waitFor(() => {
      expect(observationsOf(sides.entities(), 'Architecture Decisions')).toContain(
        'Reviews before merging',
      );
    }, SOON);
    expect(sides.entities()).toEqual(sides.sections());
  });

  it('from another memory server process on the same file to a bullet', async () => {
    const { sides } = await pair();
    const foreign = await sides.startForeign();
    try {
      await foreign.call('add_observations', {
        observations: [{ entityName: 'Ada', contents: ['likes short functions'] }],
      });
      await vi.waitFor(() => {
        expect(readFileSync(sides.memories, 'utf8')).toContain('- likes short functions\n');
      }, SOON);
      await agreed(sides);
    } finally {
      await foreign.close();
    }
  });

  it('from a rewritten memory file to sections', async () => {
    const { sides } = await pair();
    const now = [...sides.entities().values()];
    const linus = memory('Linus', ['reviews patches'], { type: 'person' });
    writeFileSync(sides.memoryFile, graphText([...now, linus]));
    await vi.waitFor(() => expect(sides.sections().get('Linus')).toEqual(linus), SOON);
    await agreed(sides);
  });

  it('from the hub to both sides', async () => {
    const { sides } = await pair();
    const fact = memory('Deploys', ['on Fridays never']);
    await client.store(`${sides.prefix}deploys`, fact, { kind: 'memory', ttl: null });
    await vi.waitFor(() => {
      expect(sides.sections().get('Deploys')).toEqual(fact);
      expect(sides.entities().get('Deploys')).toEqual(fact);
    }, SOON);
  });

  it('as a deletion, too', async () => {
    const { sides } = await pair();
    writeFileSync(
      sides.memories,
      readFileSync(sides.memories, 'utf8').replace('- Tabs, not spaces\n', ''),
    );
    await vi.waitFor(() => {
      expect(observationsOf(sides.entities(), 'Preferences')).toEqual([
        '[2026-11-01] Answers in English',
      ]);
    }, SOON);
  });
});

describe('both sides edit one entity', () => {
  it('merges different edits, and both sides are equal', async () => {
    const { sides, links } = await pair();
    await client.links.pause(links.factory.id);
    await client.links.pause(links.memory.id);
    sides.addBullet('from the file');
    const foreign = await sides.startForeign();
    await foreign.call('add_observations', {
      observations: [{ entityName: 'Architecture Decisions', contents: ['from the graph'] }],
    });
    await foreign.close();
    await client.links.resume(links.factory.id);
    await client.links.resume(links.memory.id);
    await agreed(sides);
    expect(observationsOf(sides.sections(), 'Architecture Decisions')).toEqual([
      '**Decision**: one database.',
      'from the file',
      'from the graph',
    ]);
  });

  it('opens one conflict for one scalar, lets the rest flow, and writes the decision to both sides', async () => {
    const { sides, links } = await pair();
    const key = `${sides.prefix}ada`;
    await client.links.pause(links.memory.id);
    const rows = [...sides.entities().values()];
    writeFileSync(
      sides.memoryFile,
      graphText(rows.map((row) => (row.name === 'Ada' ? { ...row, type: 'maintainer' } : row))),
    );
    await client.update(key, { type: 'engineer' }, { changeType: 'merge' });
    await client.links.resume(links.memory.id);

    const [conflict] = await vi.waitFor(async () => {
      const { items } = await client.conflicts.list({ linkId: links.memory.id, status: 'open' });
      expect(items).toHaveLength(1);
      return items;
    }, SOON);
    expect(conflict).toMatchObject({
      key,
      pointers: ['/type'],
      base: { type: 'person' },
      hub: { type: 'engineer' },
      remote: { type: 'maintainer' },
    });

    sides.addBullet('flows all the same');
    await vi.waitFor(() => {
      expect(observationsOf(sides.entities(), 'Architecture Decisions')).toContain(
        'flows all the same',
      );
    }, SOON);
    expect(sides.entities().get('Ada')?.type).toBe('maintainer');

    await client.conflicts.resolve(conflict!.id, { choice: 'hub', by: 'ann' });
    await agreed(sides);
    expect(sides.entities().get('Ada')?.type).toBe('engineer');
    const { items } = await client.conflicts.list({ linkId: links.memory.id });
    expect(items.map(({ status }) => status)).toEqual(['resolved']);
  });
});

describe('a quiet link', () => {
  it('writes nothing in ten runs of each side', async () => {
    const { sides, links } = await pair();
    // What the first sync left open (its echo, a second scan) is done after a run of each.
    await requestRun(links.factory);
    await requestRun(links.memory);
    const cursor = await shownHead(client);
    const before = [fingerprint(sides.memories), fingerprint(sides.memoryFile)];
    for (let nth = 0; nth < 10; nth += 1) {
      for (const link of [links.factory, links.memory]) {
        const run = await requestRun(link);
        expect(run).toMatchObject({ status: 'settled', counters: { planned: 0, applied: 0 } });
      }
    }
    expect([fingerprint(sides.memories), fingerprint(sides.memoryFile)]).toEqual(before);
    const after = await client.changes({ since: cursor });
    expect(after.changes.filter(({ key }) => key.startsWith(sides.prefix))).toEqual([]);
  });
});

describe('a side that is suddenly empty', () => {
  it('parks the run when memories.md is emptied, and goes on when it is restored', async () => {
    const { sides, links } = await pair();
    const whole = readFileSync(sides.memories, 'utf8');
    const graph = readFileSync(sides.memoryFile, 'utf8');
    writeFileSync(sides.memories, '');
    await parked(links.factory, /0 of 5 items/);
    expect(readFileSync(sides.memoryFile, 'utf8')).toBe(graph);

    writeFileSync(sides.memories, whole);
    expect(await requestRun(links.factory)).toMatchObject({ status: 'settled', guard: null });
    sides.addBullet('back again');
    await agreed(sides);
    expect(sides.entities().size).toBe(5);
  });

  it('parks the run when the memory file is deleted, and executes exactly the plan once approved', async () => {
    const { sides, links } = await pair();
    // A run under way looks once more at what it wrote; this is about a side at rest.
    for (const link of [links.factory, links.memory]) await requestRun(link);
    const markdown = readFileSync(sides.memories, 'utf8');
    rmSync(sides.memoryFile);
    const planId = await parked(links.memory, /0 of 5 items/);
    expect(readFileSync(sides.memories, 'utf8')).toBe(markdown);
    const ops = await client.runs.ops(planId);
    expect(ops.map(({ op, side }) => `${op} ${side}`)).toEqual(Array(5).fill('delete hub'));

    await client.runs.approve(planId);
    expect(await client.runs.wait(planId, { pollMs: 20 })).toMatchObject({
      status: 'settled',
      counters: { deletedHub: 5 },
    });
    // The other side loses everything at once now: that is another run, and it asks again.
    const second = await parked(links.factory, /would be deleted|0 of 5 items/);
    await client.runs.approve(second);
    await vi.waitFor(() => expect([...sides.sections().keys()]).toEqual([]), SOON);
  });

  async function parked(link: Link, reason: RegExp): Promise<string> {
    const status = await vi.waitFor(async () => {
      const now = await client.links.status(link.id);
      expect(now.state).toBe('parked');
      return now;
    }, SOON);
    expect(status.guard).toMatchObject({
      code: 'EMPTY_SIDE',
      reason: expect.stringMatching(reason) as string,
    });
    const { items } = await client.runs.list(link.id, { limit: 1 });
    expect(items[0]).toMatchObject({
      status: 'parked',
      guard: status.guard,
      counters: { applied: 0 },
    });
    return status.guard!.planId!;
  }
});

describe('what Temporal shows', () => {
  it('is readable, and holds no body of a context', async () => {
    const { sides, links } = await pair();
    const marker = `marker-${randomUUID()}`;
    sides.addBullet(`${marker} in the file`);
    await client.store(`${sides.prefix}secret`, memory('Secret', [`${marker} in the hub`]), {
      kind: 'memory',
      ttl: null,
    });
    await vi.waitFor(() => {
      expect(readFileSync(sides.memoryFile, 'utf8')).toContain(`${marker} in the file`);
      expect(readFileSync(sides.memoryFile, 'utf8')).toContain(`${marker} in the hub`);
    }, SOON);
    for (const link of [links.factory, links.memory]) {
      const workflowId = syncWorkflowId('default', link.id);
      const handle = syncline.workflows.workflow.getHandle(workflowId);
      const text = historyText(await handle.fetchHistory());
      expect(text).toContain(`"linkName":"${link.name}"`);
      expect(text).not.toContain(marker);

      const described = await handle.describe();
      expect(await described.staticSummary()).toMatch(new RegExp(`^default · ${link.name} · `));
      const attributes = described.typedSearchAttributes
        .getAll()
        .map(({ key, value }) => [key.name, value]);
      expect(Object.fromEntries(attributes)).toMatchObject({
        TenantId: 'default',
        LinkId: link.id,
        SyncPhase: 'settled',
        ConflictCount: 0,
      });
      expect(await currentDetails(handle)).toMatch(
        new RegExp(`\\*\\*${link.name}\\*\\*.*(settled|nothing)`),
      );
      await vi.waitFor(async () => expect(await workflowsOf(link)).toContain(workflowId), SOON);
    }
  });

  /** As the UI finds them: by search attribute. */
  async function workflowsOf(link: Link): Promise<readonly string[]> {
    const ids: string[] = [];
    const query = `LinkId = "${link.id}"`;
    for await (const { workflowId } of syncline.workflows.workflow.list({ query }))
      ids.push(workflowId);
    return ids;
  }

  async function currentDetails(handle: WorkflowHandle): Promise<string> {
    const metadata: { currentDetails?: string } = await handle.query(
      '__temporal_workflow_metadata',
    );
    return metadata.currentDetails ?? '';
  }
});

function fingerprint(file: string): object {
  const { mtimeMs, ino, size } = statSync(file);
  return { mtimeMs, ino, size, bytes: readFileSync(file, 'utf8') };
}

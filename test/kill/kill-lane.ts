/**
 * One installation that is killed again and again, each time at another durable step of a run that
 * has everything in it: creates, edits and deletes from both sides, and a merge. What comes after
 * the restart must be what would have come without the kill.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import pg from 'pg';
import { expect } from 'vitest';
import type { Link } from '../../client/index.ts';
import { waitUntil } from '../../dev/wait-until.ts';
import { memorySchema, type Memory } from '../../domain/item.ts';
import { slugOfName } from '../../domain/slug.ts';
import { PROGRESS_QUERY, syncWorkflowId, type SyncProgress } from '../../workflows/contract.ts';
import { memoryServerPath } from '../conformance/memory-workspace.ts';
import { startSyncline, type SynclineProcess } from '../support/syncline-process.ts';
import { createTwoSides, graphText, memory, type TwoSides } from '../support/two-sides.ts';
import { startCommitProxy, type CommitProxy, type EngineCommit } from './commit-proxy.ts';

export type Connector = 'mcp-memory' | 'factory-files';

/** Where the plug is pulled: at a commit of the engine, or at a mutating call of the memory server. */
export interface KillStep {
  readonly at: 'commit' | 'call';
  readonly nth: number;
  readonly when: 'before' | 'after';
}

/** What a run did, and what it led to. */
export interface KilledRun {
  /** Kills that came while it was under way. */
  readonly reached: number;
  /** Of an undisturbed run: its steps. */
  readonly commits: readonly EngineCommit[];
  readonly calls: number;
  /** Number of versions of each context in the end. */
  readonly versions: Readonly<Record<string, number>>;
}

export interface KillLane {
  /** The run with a kill at each of the steps, one after the other; none: undisturbed. */
  run(connector: Connector, kills: readonly KillStep[]): Promise<KilledRun>;
  close(): Promise<void>;
}

const PROXY = fileURLToPath(new URL('./memory-server-proxy.mjs', import.meta.url));
/** A worker that died is noticed after the workflow task's 3 s; starting takes some, too. */
const WITHIN = { timeoutMs: 60_000, everyMs: 50 };

export async function openKillLane(): Promise<KillLane> {
  let proxy: CommitProxy | null = null;
  const syncline = await startSyncline({
    databaseDoor: async (url) => (proxy = await startCommitProxy(url)).url,
  });
  const database = new pg.Client({ connectionString: syncline.databaseUrl });
  await database.connect();
  await database.query('SET search_path = context_system');
  return {
    run: (connector, kills) => runOnce({ syncline, database, proxy: proxy! }, connector, kills),
    async close() {
      await database.end();
      await syncline.close();
      await proxy!.close();
    },
  };
}

interface Lane {
  readonly syncline: SynclineProcess;
  readonly database: pg.Client;
  readonly proxy: CommitProxy;
}

interface Case {
  readonly sides: TwoSides;
  readonly link: Link;
  readonly connector: Connector;
  readonly controlFile: string;
}

async function runOnce(
  lane: Lane,
  connector: Connector,
  kills: readonly KillStep[],
): Promise<KilledRun> {
  const { syncline, proxy } = lane;
  const one = await prepare(lane, connector);
  let reached = 0;
  let isAlive = true;
  for (const [nth, step] of kills.entries()) {
    arm(lane, one, step);
    if (isAlive && nth === 0) await begin(lane, one);
    else await syncline.start().catch(() => undefined);
    isAlive = await survives(lane, one);
    // At a late step the run may be over before the kill.
    if (isAlive) break;
    reached += 1;
    await syncline.whenGone();
  }
  disarm(lane, one);
  if (kills.length === 0) await begin(lane, one);
  if (!isAlive) await syncline.start();
  await settled(lane, one);
  const done = { reached, commits: [...proxy.seen()], calls: callsOf(one) };
  const versions = await versionsOf(lane, one);
  await staysQuiet(lane, one);
  return { ...done, versions };
}

/** The API may die before it has answered. */
async function begin({ syncline }: Lane, { link }: Case): Promise<void> {
  await syncline.client.runs.start(link.id, 'kill points').catch(() => undefined);
}

/** Whether the run is settled before the process ends. */
async function survives(lane: Lane, one: Case): Promise<boolean> {
  const over = new AbortController();
  // The commit that ends the run may be the one the process dies at.
  const isSettled = settled(lane, one, over.signal).then(async () => {
    if (lane.proxy.isReached()) await lane.syncline.ended();
    return !lane.proxy.isReached();
  });
  try {
    return await Promise.race([isSettled, lane.syncline.ended().then(() => false)]);
  } finally {
    over.abort();
    isSettled.catch(() => undefined);
  }
}

function arm({ proxy, syncline }: Lane, { controlFile }: Case, step: KillStep): void {
  if (step.at === 'call') {
    proxy.arm(null);
    writeFileSync(controlFile, JSON.stringify({ id: randomUUID(), ...step }));
    return;
  }
  rmSync(controlFile, { force: true });
  proxy.arm(step, () => void syncline.kill());
}

function disarm({ proxy }: Lane, { controlFile }: Case): void {
  rmSync(controlFile, { force: true });
  proxy.arm(null);
}

const FIRST = ['Kept', 'Edited here', 'Edited there', 'Gone here', 'Gone there', 'Both'];
const START = FIRST.map((name) => memory(name, [`${name}, first`]));

/** What both sides and the hub must hold in the end. */
const END: ReadonlyMap<string, readonly string[]> = new Map([
  ['Both', ['Both, first', 'Both, here', 'Both, there']],
  ['Edited here', ['Edited here, first', 'Edited here, here']],
  ['Edited there', ['Edited there, first', 'Edited there, there']],
  ['Kept', ['Kept, first']],
  ['New here', ['New here, here']],
  ['New there', ['New there, there']],
]);

/** A link at rest, and then edits on both sides that nobody has been told of. */
async function prepare(lane: Lane, connector: Connector): Promise<Case> {
  const { client, folder } = lane.syncline;
  const sides = await createTwoSides(
    folder,
    connector === 'mcp-memory' ? { graph: START } : { markdown: markdownOf(START) },
  );
  const controlFile = join(folder, 'kill.json');
  const config =
    connector === 'factory-files'
      ? sides.factoryConfig
      : {
          command: process.execPath,
          args: [PROXY, await memoryServerPath(), controlFile],
          memoryFile: sides.memoryFile,
        };
  const link = await client.links.create({
    name: sides.prefix.slice(0, -1),
    connector,
    config,
    scope: { prefix: sides.prefix },
    trigger: 'manual',
  });
  const { runId } = await client.runs.start(link.id);
  expect(await client.runs.wait(runId)).toMatchObject({ status: 'settled' });
  await idle(lane, link);
  await editBoth(lane, sides, connector);
  rmSync(`${controlFile}.calls`, { force: true });
  return { sides, link, controlFile, connector };
}

/**
 * The run is settled before its workflow is at rest: a look that follows by itself would carry the
 * first edits over while the others are still being made, and the file is rewritten whole.
 */
async function idle({ syncline }: Lane, { id }: Link): Promise<void> {
  const handle = syncline.workflows.workflow.getHandle(syncWorkflowId('default', id));
  const look = async (): Promise<true | null> => {
    const { phase, pendingWakes } = await handle.query<SyncProgress>(PROGRESS_QUERY);
    return phase === 'idle' && pendingWakes === 0 ? true : null;
  };
  await waitUntil(look, WITHIN);
}

async function editBoth(
  { syncline: { client } }: Lane,
  sides: TwoSides,
  connector: Connector,
): Promise<void> {
  const key = (name: string): string => `${sides.prefix}${slugOfName(name)}`;
  const item = (name: string): Memory => memory(name, [`${name}, first`, `${name}, here`]);
  for (const name of ['Edited here', 'Both']) await client.update(key(name), item(name));
  await client.store(key('New here'), memory('New here', ['New here, here']), { kind: 'memory' });
  await client.delete(key('Gone here'));
  const there = START.filter(({ name }) => name !== 'Gone there').map((one) =>
    ['Edited there', 'Both'].includes(one.name)
      ? { ...one, observations: [...one.observations, `${one.name}, there`] }
      : one,
  );
  const edited = [...there, memory('New there', ['New there, there'])];
  if (connector === 'mcp-memory') writeFileSync(sides.memoryFile, graphText(edited));
  else writeFileSync(sides.memories, markdownOf(edited));
}

function markdownOf(memories: readonly Memory[]): string {
  const sections = memories.map(
    ({ name, observations }) => `## ${name}\n\n${observations.map((o) => `- ${o}\n`).join('')}`,
  );
  return `# Memories\n\n${sections.join('\n')}`;
}

async function settled(lane: Lane, one: Case, signal?: AbortSignal): Promise<void> {
  let last = '';
  const look = async (): Promise<true | null> => {
    const found = await stateOf(lane, one);
    last = JSON.stringify(found);
    return isDeepStrictEqual(found, AT_REST) ? true : null;
  };
  await waitUntil(look, { ...WITHIN, signal }).catch((thrown: unknown) => {
    if (signal?.aborted) throw thrown;
    throw new Error(`the link did not come to rest: ${last}\n${lane.syncline.log().slice(-4000)}`);
  });
}

/** Content of both sides, and that nothing is left open. */
const AT_REST = {
  remote: sorted(END),
  hub: sorted(END),
  unsettled: 0,
  intents: 0,
  running: 0,
  conflicts: 0,
};

const SELECT_OPEN = `
SELECT
  (SELECT count(*)::int FROM sync_items WHERE link_id = $1 AND (dirty OR state NOT IN ('synced', 'tombstoned'))) AS unsettled,
  (SELECT count(*)::int FROM sync_ops WHERE link_id = $1 AND state = 'intended') AS intents,
  (SELECT count(*)::int FROM sync_runs WHERE link_id = $1 AND status = 'running') AS running,
  (SELECT count(*)::int FROM sync_conflicts WHERE link_id = $1) AS conflicts`;

const SELECT_HUB = `
SELECT c.version, convert_from(b.body, 'UTF8')::json AS value
FROM contexts c JOIN blobs b ON b.tenant_id = c.tenant_id AND b.hash = c.hash
WHERE starts_with(c.key, $1) AND NOT c.deleted`;

async function stateOf({ database }: Lane, { sides, link, connector }: Case): Promise<object> {
  const remote = connector === 'mcp-memory' ? sides.entities() : sides.sections();
  const [open] = (await database.query<Record<string, number>>(SELECT_OPEN, [link.id])).rows;
  const { rows } = await database.query<{ value: unknown }>(SELECT_HUB, [sides.prefix]);
  const hub = rows.map(({ value }) => memorySchema.parse(value));
  return { remote: factsOf([...remote.values()]), hub: factsOf(hub), ...open };
}

function factsOf(memories: readonly Memory[]): [string, readonly string[]][] {
  return sorted(new Map(memories.map(({ name, observations }) => [name, observations])));
}

function sorted(facts: ReadonlyMap<string, readonly string[]>): [string, readonly string[]][] {
  return [...facts]
    .map(([name, texts]): [string, string[]] => [name, [...texts].sort()])
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Versions of each key: a write that happened twice would show here. */
async function versionsOf({ database }: Lane, { sides }: Case): Promise<Record<string, number>> {
  const { rows } = await database.query<{ name: string; count: number }>(
    `SELECT substr(key, $2) AS name, count(*)::int AS count FROM context_versions
     WHERE starts_with(key, $1) GROUP BY key ORDER BY key`,
    [sides.prefix, sides.prefix.length + 1],
  );
  return Object.fromEntries(rows.map(({ name, count }) => [name, count]));
}

/** One more run finds nothing to do. */
async function staysQuiet({ syncline: { client } }: Lane, { link }: Case): Promise<void> {
  const { runId } = await client.runs.start(link.id, 'quiet');
  expect(await client.runs.wait(runId)).toMatchObject({
    status: 'settled',
    counters: { planned: 0, applied: 0, conflicts: 0, quarantined: 0 },
  });
}

function callsOf({ controlFile }: Case): number {
  const file = `${controlFile}.calls`;
  return existsSync(file) ? readFileSync(file, 'utf8').length : 0;
}

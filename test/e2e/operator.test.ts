/**
 * What an operator does from the command line alone: sees why a link parked at night, what would
 * happen, and goes on; makes a plan, executes exactly that, takes a run back.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { runTestCli } from '../support/cli-under-test.ts';
import { startSyncline, type SynclineProcess } from '../support/syncline-process.ts';
import { createTwoSides, linkBoth, memory, type TwoSides } from '../support/two-sides.ts';

const SOON = { timeout: 15_000, interval: 20 };
const MARKDOWN = '# Memories\n\n## Preferences\n\n- Tabs\n\n## Style\n\n- Short words\n';
const GRAPH = [memory('Ada', ['maintains the parser'], { type: 'person' })];

let syncline: SynclineProcess;
let sides: TwoSides;
let link: string;

beforeAll(async () => {
  syncline = await startSyncline();
  sides = await createTwoSides(syncline.folder, { markdown: MARKDOWN, graph: GRAPH });
  const links = await linkBoth(syncline.client, sides);
  link = links.factory.name;
  await vi.waitFor(() => expect(sides.sections()).toEqual(sides.entities()), SOON);
  // What these tests do is then only what they ask for.
  await syncline.client.links.patch(links.memory.id, { trigger: 'manual' });
  await syncline.client.links.pause(links.memory.id);
}, 120_000);
afterAll(() => syncline.close());

const cli = (...args: string[]) =>
  runTestCli(args, {
    environment: {
      url: syncline.url,
      installation: {
        home: syncline.folder,
        servers: { postgres: null, redis: null, temporal: null },
      },
    },
  });

const idIn = (text: string, after: string): string =>
  new RegExp(`${after} ([0-9a-f-]{36})`).exec(text)![1]!;

describe('a link that parked at night', () => {
  it('says what happened, what would happen and how to go on', async () => {
    const whole = readFileSync(sides.memories, 'utf8');
    writeFileSync(sides.memories, '');
    const run = await cli('sync', 'run', link, '--wait');
    expect([run.code, run.stderr]).toEqual([3, '']);
    expect(run.stdout).toMatch(
      /parked by EMPTY_SIDE: .* has 0 of 3 items it had, so nothing was written/,
    );
    const shown = await cli('link', 'show', link);
    expect(shown.stdout).toMatch(/parked by EMPTY_SIDE/);
    const planId = idIn(shown.stdout, 'sync show');
    const ops = await cli('sync', 'show', planId, '--diff');
    expect(ops.stdout).toMatch(/delete hub .*preferences/);
    expect(ops.stdout).toMatch(/- .*Tabs/);
    writeFileSync(sides.memories, whole);
    expect(await cli('sync', 'run', link, '--wait')).toMatchObject({ code: 0 });
  });
});

describe('a plan', () => {
  it('is made on a paused link, shown, executed exactly, and taken back', async () => {
    await cli('link', 'pause', link);
    const before = sides.sections();
    const whole = readFileSync(sides.memories, 'utf8');
    const key = `${sides.prefix}style`;
    await syncline.client.store(key, memory('Style', ['Short words', 'No jargon'], {}), {
      kind: 'memory',
      ttl: null,
    });
    const plan = await cli('sync', 'plan', link, '--diff');
    expect([plan.code, plan.stderr]).toEqual([0, '']);
    expect(plan.stdout).toMatch(/\+ .*No jargon/);
    expect(readFileSync(sides.memories, 'utf8')).toBe(whole);
    const planId = idIn(plan.stdout, 'sync approve');

    const approved = await cli('sync', 'approve', planId, '--wait');
    expect([approved.code, approved.stderr]).toEqual([0, '']);
    expect(sides.sections().get('Style')?.observations).toContain('No jargon');
    const again = await cli('sync', 'approve', planId);
    expect([again.code, again.stderr]).toEqual([
      1,
      expect.stringMatching(/^error PLAN_ALREADY_EXECUTED/),
    ]);

    const undo = await cli('sync', 'undo', planId, '--wait');
    expect([undo.code, undo.stderr]).toEqual([0, '']);
    expect(sides.sections()).toEqual(before);
    await cli('link', 'resume', link);
    expect(await cli('sync', 'run', link, '--wait')).toMatchObject({ code: 0 });
    expect(sides.sections()).toEqual(before);
  });
});

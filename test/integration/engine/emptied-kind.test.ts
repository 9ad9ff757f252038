/** All memories gone, or all documents, is an emptied side, whatever else the link keeps in step. */
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { factoryFiles } from '../../../connectors/factory-files/factory-files.ts';
import type { ContextKey } from '../../../domain/ids.ts';
import { DEFAULT_GUARDS, type Link } from '../../../domain/link.ts';
import type { NewLink } from '../../../store/contract.ts';
import { CALLER, createTestEngine, type TestEngine } from '../../support/engine.ts';

const MEMORIES = '## Alice\n\n- likes tea\n\n## Bob\n\n- likes milk\n';

describe('a Factory project with memories and rules in one link', () => {
  let engine: TestEngine;
  let home: string;
  let root: string;
  let count = 0;
  let prefix: string;

  beforeAll(async () => {
    home = realpathSync(mkdtempSync(join(tmpdir(), 'emptied-')));
    engine = await createTestEngine({ types: [factoryFiles], fileRoots: [home] });
  });
  afterAll(async () => {
    await engine.close();
    rmSync(home, { recursive: true, force: true });
  });
  beforeEach(() => {
    count += 1;
    prefix = `case${count}/`;
    root = join(home, `case-${count}`);
    mkdirSync(join(root, '.factory/rules'), { recursive: true });
    write('memories.md', MEMORIES);
    write('rules/style.md', 'Tabs.\n');
    write('rules/tests.md', 'Always.\n');
  });

  const write = (file: string, text: string): void =>
    writeFileSync(join(root, '.factory', file), text);
  const read = (file: string): string => readFileSync(join(root, '.factory', file), 'utf8');
  const keys = async (): Promise<string[]> =>
    (await engine.store.contexts.list(CALLER, { prefix, limit: 100 })).items.map(({ key }) => key);

  async function linked(more: Partial<NewLink> = {}): Promise<Link> {
    const config = { root, include: ['memories', 'rules'] };
    const link = await engine.addLink('factory-files', config, { scope: { prefix }, ...more });
    expect(await engine.drain(link)).toMatchObject({ status: 'settled' });
    expect(await keys()).toHaveLength(4);
    return link;
  }

  it('parks when memories.md was emptied, although the rules are as they were', async () => {
    const link = await linked();
    write('memories.md', '');
    const parked = await engine.drain(link);
    expect(parked).toMatchObject({ status: 'parked', guard: { code: 'EMPTY_SIDE' } });
    expect(parked.guard?.reason).toContain('has 0 of 2 memories it had, so nothing was written');
    expect(await keys()).toHaveLength(4);

    write('memories.md', MEMORIES);
    await engine.store.runs.request(CALLER, link.id, 'put right');
    expect(await engine.drain(link)).toMatchObject({ status: 'settled' });
    expect(await keys()).toHaveLength(4);
  });

  it('parks when all rules are gone, although the memories are as they were', async () => {
    const link = await linked();
    rmSync(join(root, '.factory/rules'), { recursive: true });
    const parked = await engine.drain(link);
    expect(parked).toMatchObject({ status: 'parked', guard: { code: 'EMPTY_SIDE' } });
    expect(parked.guard?.reason).toContain('has 0 of 2 documents it had');
    expect(await keys()).toHaveLength(4);
  });

  it('parks when the hub lost all memories', async () => {
    const link = await linked();
    for (const key of await keys()) {
      const { kind } = (await engine.store.contexts.get(CALLER, key as ContextKey))!;
      if (kind === 'memory') await engine.store.contexts.delete(CALLER, { key: key as ContextKey });
    }
    const parked = await engine.drain(link);
    expect(parked).toMatchObject({ status: 'parked', guard: { code: 'EMPTY_SIDE' } });
    expect(parked.guard?.reason).toMatch(/^The hub has 0 of 2 memories it had/);
    expect(read('memories.md')).toBe(MEMORIES);
  });

  it('goes on when one memory of two is deleted, or both are renamed', async () => {
    const link = await linked();
    write('memories.md', MEMORIES.replace('## Alice', '## Carol').replace('## Bob', '## Dave'));
    expect(await engine.drain(link)).toMatchObject({ status: 'settled' });
    expect(await keys()).toHaveLength(4);
    write('memories.md', '## Carol\n\n- likes tea\n');
    expect(await engine.drain(link)).toMatchObject({ status: 'settled' });
    expect(await keys()).toHaveLength(3);
  });

  it('deletes them when somebody said so: the plan approved, or the guard switched off', async () => {
    const link = await linked();
    write('memories.md', '');
    const { guard } = await engine.drain(link);
    const [run] = (await engine.store.runs.list(CALLER, { linkId: link.id, limit: 1 })).items;
    expect(guard).not.toBeNull();
    await engine.store.runs.approve(CALLER, run!.id);
    await engine.pass(link);
    expect(await keys()).toHaveLength(2);
  });

  it('does not ask where the guard is switched off', async () => {
    const link = await linked({ guards: { ...DEFAULT_GUARDS, emptySide: false } });
    write('memories.md', '');
    expect(await engine.drain(link)).toMatchObject({ status: 'settled' });
    expect(await keys()).toHaveLength(2);
  });
});

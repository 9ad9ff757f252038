import { appendFileSync, renameSync, writeFileSync } from 'node:fs';
import { open, readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Connector } from '../../connectors/connector.ts';
import { factoryFiles } from '../../connectors/factory-files/factory-files.ts';
import { createFactoryConnector } from '../../connectors/factory-files/factory-connector.ts';
import { placesOf } from '../../connectors/factory-files/places.ts';
import { systemClock } from '../../domain/clock.ts';
import {
  createOp,
  createProject,
  deleteOp,
  itemNamed,
  memory,
  openContext,
  until,
  updateOp,
  type Project,
} from './factory-files-project.ts';

let project: Project;
const opened: Connector[] = [];
beforeEach(async () => void (project = await createProject()));
afterEach(async () => {
  for (const connector of opened.splice(0)) await connector.close();
  await project.remove();
});

/** A connector that calls `between` after it has read the file and before it writes. */
function connectorWith(
  between: (nth: number) => void,
  lateLooksMs: readonly number[] = [],
): Connector {
  let tries = 0;
  const config = factoryFiles.configSchema.parse({ root: project.root });
  const connector = createFactoryConnector({
    config,
    places: placesOf(config, project.root),
    ...openContext([project.root]),
    capabilities: factoryFiles.capabilities,
    clock: systemClock,
    newId: () => {
      between((tries += 1));
      return `try-${tries}`;
    },
    lateLooksMs,
  });
  opened.push(connector);
  return connector;
}

function replaceAtomically(text: string): void {
  const temp = join(dirname(project.memories), 'editor.swp');
  writeFileSync(temp, text);
  renameSync(temp, project.memories);
}

const start = '# M\n\n## A\n\n- one\n\n## B\n\n- b\n';

describe('somebody writes between our read and our write', () => {
  it.each([
    ['by appending', () => appendFileSync(project.memories, '- theirs\n')],
    ['by replacing the file', () => replaceAtomically(`${start}- theirs\n`)],
    ['by emptying and rewriting it', () => writeFileSync(project.memories, `${start}- theirs\n`)],
  ])('%s: both edits are in the file', async (_how, theirs) => {
    await project.write(start);
    const connector = connectorWith((nth) => nth === 1 && theirs());
    const item = await itemNamed(connector, 'A');
    const [outcome] = await connector.apply([updateOp(item, memory('A', ['one', 'ours']))]);
    expect(outcome?.status).toBe('applied');
    expect(await project.read()).toBe('# M\n\n## A\n\n- one\n- ours\n\n## B\n\n- b\n- theirs\n');
  });

  it('and changes the very item: ours is told that it moved, theirs stays', async () => {
    await project.write(start);
    const connector = connectorWith(
      (nth) => nth === 1 && replaceAtomically(start.replace('- one', '- theirs')),
    );
    const item = await itemNamed(connector, 'A');
    const outcomes = await connector.apply([
      updateOp(item, memory('A', ['ours'])),
      createOp(memory('C', ['c'])),
    ]);
    expect(outcomes).toMatchObject([
      { status: 'moved', current: { value: { observations: ['theirs'] } } },
      { status: 'applied' },
    ]);
    expect(await project.read()).toContain('- theirs');
  });

  it('and creates the file we were about to create: nothing of it is lost', async () => {
    const connector = connectorWith(
      (nth) => nth === 1 && writeFileSync(project.memories, '## Theirs\n\n- x\n'),
    );
    const [outcome] = await connector.apply([createOp(memory('Ours', ['y']))]);
    expect(outcome?.status).toBe('applied');
    const text = await project.read();
    expect(text.startsWith('## Theirs\n\n- x\n')).toBe(true);
    expect(text).toContain('## Ours\n\n- y\n');
  });

  it('and deletes the file: the item is gone, and is not written back', async () => {
    await project.write(start);
    const connector = connectorWith(
      (nth) => nth === 1 && renameSync(project.memories, `${project.memories}.old`),
    );
    const item = await itemNamed(connector, 'A');
    const [outcome] = await connector.apply([updateOp(item, memory('A', ['ours']))]);
    expect(outcome).toMatchObject({ status: 'moved', current: { status: 'absent' } });
    await expect(project.read()).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('again and again: nothing is written, and the engine may retry', async () => {
    await project.write(start);
    const connector = connectorWith((nth) => appendFileSync(project.memories, `- theirs ${nth}\n`));
    const [outcome] = await connector.apply([createOp(memory('C', ['c']))]);
    expect(outcome).toMatchObject({
      status: 'failed',
      code: 'REMOTE_WRITE_RACED',
      isRetryable: true,
    });
    expect(await project.read()).not.toContain('## C');
    expect(await readdir(dirname(project.memories))).toEqual(['memories.md']);
  });
});

describe('a slow writer that still has the replaced file open', () => {
  async function replacedUnder(flags: string, connector: Connector) {
    await project.write(start);
    const slow = await open(project.memories, flags);
    const item = await itemNamed(connector, 'A');
    await connector.apply([updateOp(item, memory('A', ['one', 'ours']))]);
    return slow;
  }

  it('appends to it: the lines reach the new file by themselves', async () => {
    const connector = connectorWith(() => undefined, [1, 5, 20, 100, 500, 2000]);
    const slow = await replacedUnder('a', connector);
    await slow.appendFile('- late\n');
    await until(async () => (await project.read()).includes('late'));
    await slow.appendFile('\n## Later still\n\n- two\n');
    await until(async () => (await project.read()).includes('Later still'));
    await slow.close();
    expect(await project.read()).toBe(
      '# M\n\n## A\n\n- one\n- ours\n\n## B\n\n- b\n- late\n\n## Later still\n\n- two\n',
    );
  });

  it('appends to it: the next look sees the lines, without any waiting', async () => {
    const connector = connectorWith(() => undefined, [60_000]);
    const slow = await replacedUnder('a', connector);
    await slow.appendFile('- late\n');
    expect((await itemNamed(connector, 'B')).value).toMatchObject({ observations: ['b', 'late'] });
    await slow.close();
  });

  it('appends to it: closing the connector brings the lines over', async () => {
    const connector = connectorWith(() => undefined, [60_000]);
    const slow = await replacedUnder('a', connector);
    await slow.appendFile('- late\n');
    await connector.close();
    await slow.close();
    expect(await project.read()).toContain('- late');
  });

  it('rewrites it: what it added is added, what it lacks is not deleted', async () => {
    const connector = connectorWith(() => undefined, [60_000]);
    const slow = await replacedUnder('r+', connector);
    await slow.truncate();
    await slow.write('# M\n\n## A\n\n- one\n- theirs\n', 0);
    expect((await itemNamed(connector, 'A')).value).toMatchObject({
      observations: ['one', 'ours', 'theirs'],
    });
    expect((await itemNamed(connector, 'B')).value).toMatchObject({ observations: ['b'] });
    await slow.close();
  });

  it('appends after our managed region was made: the lines go to the section above it', async () => {
    await project.write(start);
    const connector = connectorWith(() => undefined, [60_000]);
    const slow = await open(project.memories, 'a');
    await connector.apply([createOp(memory('New', ['n']))]);
    await slow.appendFile('- [2026-11-02] remembered\n');
    expect((await itemNamed(connector, 'B')).value).toMatchObject({
      observations: ['[2026-11-02] remembered', 'b'],
    });
    expect((await itemNamed(connector, 'New')).value).toMatchObject({ observations: ['n'] });
    await slow.close();
  });

  it.runIf(process.platform === 'linux')('leaves no file open for ever', async () => {
    const connector = connectorWith(() => undefined, [1, 1]);
    const before = (await readdir('/proc/self/fd')).length;
    await (await replacedUnder('a', connector)).close();
    await until(async () => (await readdir('/proc/self/fd')).length <= before + 1);
  });
});

describe('two of our own connectors on one project', () => {
  it('take turns: every item of both is there', async () => {
    await project.write(start);
    const [one, two] = [await project.open(), await project.open()];
    const rounds = Array.from({ length: 10 }, (_, nth) => nth);
    const write = async (connector: Connector, who: string): Promise<void> => {
      for (const nth of rounds) {
        const op = createOp(memory(`${who} ${nth}`, ['x']));
        await until(async () => (await connector.apply([op]))[0]?.status !== 'failed');
      }
    };
    await Promise.all([write(one, 'One'), write(two, 'Two')]);
    const text = await readFile(project.memories, 'utf8');
    for (const nth of rounds) {
      expect(text).toContain(`## One ${nth}\n`);
      expect(text).toContain(`## Two ${nth}\n`);
    }
    expect(text.startsWith(start)).toBe(true);
  });
});

describe('a hundred edits from both sides', () => {
  it('end with every line of the person and every item of ours', async () => {
    await project.write(start);
    const connector = await project.open();
    for (let nth = 0; nth < 50; nth += 1) {
      appendFileSync(project.memories, `- person ${nth}\n`);
      const outcomes = await connector.apply([createOp(memory(`Ours ${nth}`, [`fact ${nth}`]))]);
      expect(outcomes[0]?.status).toBe('applied');
      if (nth % 5 === 4)
        await connector.apply([deleteOp(await itemNamed(connector, `Ours ${nth}`))]);
    }
    const { observations } = (await itemNamed(connector, 'B')).value as { observations: string[] };
    expect(observations).toHaveLength(51);
    expect((await project.read()).startsWith(start)).toBe(true);
    expect((await project.read()).match(/syncline:begin/g)).toHaveLength(1);
  });
});

/**
 * What the connectors over files cost: a thousand notes in a folder, and one bullet of a large
 * `memories.md`. Elapsed time, CPU, and the longest the event loop was held up.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { claudeCode } from '../connectors/claude-code/claude-code.ts';
import type { Connector, OpenContext, RemoteItem, RemoteOp } from '../connectors/connector.ts';
import { factoryFiles } from '../connectors/factory-files/factory-files.ts';
import { asRemoteId, canonicalMemory, type Memory } from '../domain/item.ts';
import { isJsonObject } from '../domain/json.ts';
import type { Bench } from './main.ts';

/** The benchmark, for `npm run bench -- file-writes [notes] [megabytes]`. */
export const fileWrites: Bench = {
  about: 'Files: writing notes one by one and looking at them; one edit in a large memories.md.',
  usage: '[notes=1000] [megabytes=1]',
  async run([notes = '1000', megabytes = '1']) {
    const home = await mkdtemp(join(tmpdir(), 'bench-files-'));
    try {
      await benchNotes(home, Number(notes));
      await benchMemories(home, Number(megabytes) * 1024 * 1024);
    } finally {
      await rm(home, { recursive: true, force: true });
    }
  },
};

async function benchNotes(home: string, count: number): Promise<void> {
  const [root, memoryDir] = [join(home, 'project'), join(home, 'memory')];
  await mkdir(root);
  await mkdir(memoryDir);
  const config = claudeCode.configSchema.parse({ root, memoryDir });
  const connector = await claudeCode.open(config, contextFor(home));
  const notes = Array.from({ length: count }, (_, nth) => noteOf(nth));
  await measured(`write ${count} notes`, () => connector.apply(notes.map(createOp)));
  const { cursor } = await measured('first look', () => look(connector, null));
  // A file just written is read once more, until its time stamp tells changes apart.
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  await look(connector, cursor);
  await measured('look that finds nothing new', () => look(connector, cursor));
  await connector.close();
}

async function benchMemories(home: string, chars: number): Promise<void> {
  const root = join(home, 'factory');
  await mkdir(join(root, '.factory'), { recursive: true });
  await writeFile(join(root, '.factory/memories.md'), memoriesOf(chars));
  const connector = await factoryFiles.open(
    factoryFiles.configSchema.parse({ root }),
    contextFor(home),
  );
  const first = await measured('first reading of memories.md', () => look(connector, null));
  const item = first.entries[Math.floor(first.entries.length / 2)];
  if (item?.status !== 'present') throw new Error('the sample has no items');
  await measured('reading it again', () => look(connector, null));
  await measured('one bullet more', () => connector.apply([withOneMore(item)]));
  await connector.close();
}

const look = (connector: Connector, since: string | null): ReturnType<Connector['observe']> =>
  connector.observe({ since, page: null });

async function measured<T>(what: string, work: () => Promise<T>): Promise<T> {
  const delay = monitorEventLoopDelay({ resolution: 5 });
  delay.enable();
  const cpu = process.cpuUsage();
  const startedMs = performance.now();
  const result = await work();
  const tookMs = performance.now() - startedMs;
  const { user, system } = process.cpuUsage(cpu);
  delay.disable();
  const figures = [
    `${tookMs.toFixed(0)} ms`,
    `cpu ${((user + system) / 1000).toFixed(0)} ms`,
    `event loop held up ${(delay.max / 1e6).toFixed(0)} ms`,
  ];
  process.stdout.write(`${what}: ${figures.join(', ')}\n`);
  return result;
}

function noteOf(nth: number): Memory {
  return canonicalMemory({
    name: `Note ${nth}`,
    type: 'project',
    observations: [`Fact ${nth} of the project`, `Another one, about **${nth}**`],
    relations: [],
  });
}

function createOp(value: Memory): RemoteOp {
  const remoteId = asRemoteId(value.name);
  const opId = `create ${value.name}`;
  return {
    opId,
    action: 'create',
    kind: 'memory',
    remoteId,
    value,
    expectedVersion: null,
  };
}

function withOneMore({ remoteId, kind, version, value }: RemoteItem): RemoteOp {
  const old =
    isJsonObject(value) && Array.isArray(value['observations']) ? value['observations'] : [];
  return {
    opId: 'edit',
    action: 'update',
    kind,
    remoteId,
    value: { ...value, observations: [...old, 'One bullet more'] },
    expectedVersion: version,
  };
}

/** Sections as people and agents write them: bullets, nested ones, paragraphs, now and then a table. */
function memoriesOf(chars: number): string {
  const parts = ['# Memories\n\n'];
  for (let nth = 0, length = 0; length < chars; nth += 1) {
    const table = nth % 10 === 0 ? '| a | b |\n|---|---|\n| 1 | 2 |\n\n' : '';
    const part = `## Section ${nth}\n\n- [2026-11-01] fact ${nth} about something\n- another one\n  - and a nested one\n\n**Decision**: option ${nth}, because it is *simple*.\n\n${table}`;
    parts.push(part);
    length += part.length;
  }
  return parts.join('');
}

function contextFor(fileRoot: string): OpenContext {
  const silent = (): void => undefined;
  return {
    permissions: { fileRoots: [fileRoot], stdioCommands: [] },
    secret: () => '',
    log: { debug: silent, info: silent, warn: silent },
  };
}

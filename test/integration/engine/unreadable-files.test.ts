/**
 * A file that cannot be read or parsed, when somebody asks for a whole new look: an audit, a retry,
 * a release or a reset. Only the connector knows which items such a file held; it notes that in its
 * cursor, and loses it from memory whenever the conversation is opened anew.
 */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { claudeCode } from '../../../connectors/claude-code/claude-code.ts';
import type { ClaudeCodeConfig } from '../../../connectors/claude-code/claude-code-config.ts';
import type { Connector, ConnectorType, ObserveRequest } from '../../../connectors/contract.ts';
import { itemKey } from '../../../domain/item.ts';
import { DEFAULT_GUARDS, type Link } from '../../../domain/link.ts';
import {
  CALLER,
  createTestEngine,
  type PassResult,
  type TestEngine,
} from '../../support/engine.ts';

const NO_GUARDS = { ...DEFAULT_GUARDS, emptySide: false, allChanged: false };

/** A connector that is opened anew at the next call after `restart`, as after a rest or a crash. */
function restartable(): {
  readonly type: ConnectorType<ClaudeCodeConfig>;
  restart(): void;
  onObserved(then: (request: ObserveRequest) => void): void;
} {
  let era = 0;
  let then: (request: ObserveRequest) => void = () => undefined;
  return {
    restart: () => void (era += 1),
    onObserved: (next) => void (then = next),
    type: {
      ...claudeCode,
      async open(config, context) {
        let opened = { era, connector: await claudeCode.open(config, context) };
        const now = async (): Promise<Connector> => {
          if (opened.era !== era) {
            await opened.connector.close();
            opened = { era, connector: await claudeCode.open(config, context) };
          }
          return opened.connector;
        };
        return {
          capabilities: opened.connector.capabilities,
          probe: async (signal) => (await now()).probe(signal),
          observe: async (request) => {
            const page = await (await now()).observe(request);
            then(request);
            return page;
          },
          read: async (ids, signal) => (await now()).read(ids, signal),
          apply: async (ops, signal) => (await now()).apply(ops, signal),
          close: async () => (await now()).close(),
        };
      },
    },
  };
}

const FAULTS = {
  unreadable: Uint8Array.of(0xff, 0xfe, 0),
  unparseable: `${'> '.repeat(200)}x\n`,
} as const;

describe('a file that cannot be used while everything is looked at anew', () => {
  const { type, restart, onObserved } = restartable();
  let engine: TestEngine;
  let home: string;
  let count = 0;
  let folder: string;
  let prefix: string;
  let link: Link;

  beforeAll(async () => {
    home = realpathSync(mkdtempSync(join(tmpdir(), 'unreadable-')));
    engine = await createTestEngine({ types: [type], fileRoots: [home] });
  });
  afterAll(async () => {
    await engine.close();
    rmSync(home, { recursive: true, force: true });
  });
  beforeEach(async () => {
    count += 1;
    prefix = `case${count}/`;
    folder = join(home, `case-${count}`);
    mkdirSync(join(folder, 'memory'), { recursive: true });
    mkdirSync(join(folder, 'project'), { recursive: true });
    write('a.md', '- a\n');
    write('b.md', '- b\n');
    write('MEMORY.md', '# Memory\n\n## Index\n\n- said here\n');
    const config = { root: join(folder, 'project'), memoryDir: join(folder, 'memory') };
    onObserved(() => undefined);
    link = await engine.addLink('claude-code', config, { scope: { prefix }, guards: NO_GUARDS });
    await atRest();
  });

  const at = (name: string): string => join(folder, 'memory', name);
  const write = (name: string, content: string | Uint8Array): void =>
    writeFileSync(at(name), content);
  const files = (): string[] => readdirSync(join(folder, 'memory')).sort();
  const keyOf = (name: string) => itemKey(prefix, 'memory', name);
  const inHub = async (name: string) =>
    (await engine.store.contexts.get(CALLER, keyOf(name)))?.data ?? null;
  const keysInHub = async () => {
    const { items } = await engine.store.contexts.list(CALLER, { prefix, limit: 100 });
    return items.map(({ key }) => key).sort();
  };
  const asideKeys = async () =>
    (await engine.store.links.quarantined(CALLER, link.id)).map(({ key }) => key);

  /** Passes until nothing is left to do, at most six; a whole look takes two for a delete. */
  async function atRest(): Promise<PassResult> {
    for (let nth = 0; nth < 6; nth += 1) {
      const result = await engine.drain(link);
      expect(result).toMatchObject({ status: 'settled', error: null });
      if (result.counters.planned === 0 && nth > 1) return result;
    }
    throw new Error('the link never came to rest');
  }

  const ASKED = {
    'an audit': () => engine.store.audits.request(CALLER, link.id),
    'a retry': () => engine.store.links.retryQuarantined(CALLER, link.id, null),
    'a release': () => engine.store.links.releaseQuarantined(CALLER, link.id, null),
    'a reset': () => engine.store.links.reset(CALLER, link.id),
  };
  const asked = Object.entries(ASKED);
  const faults = Object.entries(FAULTS);

  describe.each(asked)('%s', (_ask, ask) => {
    it.each(faults)('keeps every item of a file that was %s before', async (_fault, content) => {
      for (const name of ['a.md', 'MEMORY.md']) write(name, content);
      await atRest();
      const aside = [keyOf('a'), keyOf('Index')].sort();
      expect(await asideKeys()).toEqual(aside);
      await ask();
      restart();
      await atRest();
      await ask();
      restart();
      await atRest();
      expect(await asideKeys()).toEqual(aside);
      expect(await keysInHub()).toEqual([keyOf('a'), keyOf('b'), keyOf('Index')].sort());
      expect(files()).toEqual(['MEMORY.md', 'a.md', 'b.md']);

      const was = (await inHub('a')) as { observations: string[] };
      await engine.store.contexts.store(CALLER, {
        key: keyOf('a'),
        data: { ...was, observations: [...was.observations, 'from the hub'] },
        options: { kind: 'memory', ttl: null },
      });
      write('a.md', '- a\n- mended\n');
      write('MEMORY.md', '# Memory\n\n## Index\n\n- said here\n- and here\n');
      await ask();
      restart();
      await atRest();
      expect(await asideKeys()).toEqual([]);
      expect(await inHub('a')).toMatchObject({
        observations: expect.arrayContaining(['a', 'mended', 'from the hub']) as unknown,
      });
      expect(await inHub('Index')).toMatchObject({ observations: ['and here', 'said here'] });
      expect(readFileSync(at('a.md'), 'utf8')).toContain('from the hub');
      expect(files()).toEqual(['MEMORY.md', 'a.md', 'b.md']);
      expect(await keysInHub()).toEqual([keyOf('a'), keyOf('b'), keyOf('Index')].sort());
    });

    it.each(faults)(
      'deletes nothing of a file that became %s after it, while nobody looked',
      async (_fault, content) => {
        write('b.md', FAULTS.unreadable);
        await atRest();
        await ask();
        write('a.md', content);
        for (let nth = 0; nth < 3; nth += 1) {
          restart();
          expect(await engine.drain(link)).toMatchObject({ status: 'failed' });
        }
        expect(await inHub('a')).toMatchObject({ observations: ['a'] });
        write('a.md', '- a\n- mended\n');
        write('b.md', '- b\n');
        await atRest();
        expect(await inHub('a')).toMatchObject({ observations: ['a', 'mended'] });
        expect(await keysInHub()).toEqual([keyOf('a'), keyOf('b'), keyOf('Index')].sort());
        expect(files()).toEqual(['MEMORY.md', 'a.md', 'b.md']);
      },
    );
  });

  it('an audit whose conversation is opened anew between its readings, and that misses a note', async () => {
    write('a.md', FAULTS.unreadable);
    await atRest();
    await engine.store.audits.request(CALLER, link.id);
    const asked: ObserveRequest[] = [];
    onObserved((request) => {
      asked.push(request);
      rmSync(at('b.md'), { force: true });
      restart();
    });
    await atRest();
    expect(asked.filter(({ isWhole }) => isWhole).length).toBeGreaterThan(1);
    expect(asked.filter(({ since }) => since === null)).toEqual([]);
    expect(await inHub('b')).toBeNull();
    expect(await inHub('a')).toMatchObject({ observations: ['a'] });
    expect(await asideKeys()).toEqual([keyOf('a')]);
  });
});

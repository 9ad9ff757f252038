/** Links with a fake remote each, under a prefix of their own, and both sides' content to compare. */
import { createFakeRemote, type FakeRemote } from '../../../connectors/fake/fake-remote.ts';
import { createFakeType } from '../../../connectors/fake/fake-type.ts';
import type { ContextKey, RunId } from '../../../domain/ids.ts';
import type { Json } from '../../../domain/json.ts';
import type { Memory } from '../../../domain/item.ts';
import type { Link, Run } from '../../../domain/link.ts';
import type { NewLink } from '../../../store/contract.ts';
import {
  CALLER,
  createTestEngine,
  type PassResult,
  type TestEngine,
} from '../../support/engine.ts';

export interface Pair {
  readonly remote: FakeRemote;
  readonly link: Link;
  at(tail: string): ContextKey;
  put(tail: string, data: Memory): Promise<void>;
  remove(tail: string): Promise<void>;
  get(tail: string): Promise<Json>;
  sync(): Promise<PassResult>;
  pass(): Promise<PassResult>;
  /** A dry run, taken to its end. */
  plan(): Promise<Run>;
  approve(id: RunId): Promise<Run>;
  undo(id: RunId): Promise<Run>;
  /** The newest run. */
  last(): Promise<Run>;
  /** All runs, newest first. */
  runs(): Promise<readonly Run[]>;
  /** What both sides hold, by name. */
  sides(): Promise<{ hub: Record<string, Json>; remote: Record<string, Json> }>;
}

export const memory = (name: string, observations: string[] = [`about ${name}`]): Memory => ({
  name,
  type: 'thing',
  observations: [...observations].sort(),
  relations: [],
});

export const names = (n: number): string[] => Array.from({ length: n }, (_, nth) => `N${nth}`);

type RemoteOptions = Omit<Parameters<typeof createFakeRemote>[0], 'grade'>;

/** Opens the engine; close it in `afterAll`. */
export async function openPairs(grade: 'A' | 'B' | 'C'): Promise<{
  engine: TestEngine;
  pair(more?: Partial<NewLink>, options?: RemoteOptions): Promise<Pair>;
}> {
  const remotes = new Map([['first', createFakeRemote({ grade })]]);
  const engine = await createTestEngine({ types: [createFakeType(remotes)] });
  const { runs, contexts } = engine.store;
  let count = 0;

  async function pair(more: Partial<NewLink> = {}, options: RemoteOptions = {}): Promise<Pair> {
    count += 1;
    const remote = createFakeRemote({ grade, ...options });
    remotes.set(`r${count}`, remote);
    const prefix = `p${count}/`;
    const link = await engine.addLink(
      'fake',
      { remote: `r${count}` },
      { scope: { prefix }, ...more },
    );
    const at = (tail: string): ContextKey => `${prefix}${tail}` as ContextKey;
    const ended = async (run: Run): Promise<Run> => {
      await engine.pass(link);
      return runs.get(CALLER, run.id);
    };
    return {
      remote,
      link,
      at,
      put: async (tail, data) => {
        const options = { kind: 'memory', ttl: null };
        await contexts.store(CALLER, { key: at(tail), data, options });
      },
      remove: async (tail) => {
        await contexts.delete(CALLER, { key: at(tail) });
      },
      get: async (tail) => (await contexts.get(CALLER, at(tail)))?.data ?? null,
      sync: () => engine.drain(link),
      pass: () => engine.pass(link),
      plan: async () => ended(await runs.requestPlan(CALLER, link.id, 'dry run')),
      approve: async (id) => ended(await runs.approve(CALLER, id)),
      undo: async (id) => ended(await runs.requestUndo(CALLER, id, 'undo')),
      runs: async () => (await runs.list(CALLER, { linkId: link.id, limit: 100 })).items,
      last: async () => (await runs.list(CALLER, { linkId: link.id, limit: 1 })).items[0]!,
      async sides() {
        const page = await contexts.list(CALLER, { prefix, limit: 100 });
        const hub: Record<string, Json> = {};
        for (const { key } of page.items) hub[key] = (await contexts.get(CALLER, key))!.data;
        const held = remote.all().map((item) => [item.remoteId, item.value as Json] as const);
        return { hub, remote: Object.fromEntries(held.sort(([a], [b]) => (a < b ? -1 : 1))) };
      },
    };
  }
  return { engine, pair };
}

/** Links with a fake remote each, under a prefix of their own, run by the engine without Temporal. */
import { createFakeRemote, type FakeRemote } from '../../../connectors/fake/fake-remote.ts';
import { createFakeType } from '../../../connectors/fake/fake-type.ts';
import type { Memory } from '../../../domain/item.ts';
import type { Link } from '../../../domain/link.ts';
import type { NewLink } from '../../../store/contract.ts';
import {
  CALLER,
  createTestEngine,
  type PassResult,
  type TestEngine,
} from '../../support/engine.ts';

export interface LinkedRemote {
  readonly remote: FakeRemote;
  readonly link: Link;
  readonly prefix: string;
  /** Passes until nothing is in doubt. */
  sync(): Promise<PassResult>;
  /** Keys of the hub under the link's prefix. */
  keys(): Promise<string[]>;
}

export interface LinkedRemotes {
  readonly engine: TestEngine;
  /** A new link whose remote holds these memories; not synced yet. */
  add(names: readonly string[], more?: Partial<NewLink>): Promise<LinkedRemote>;
}

/** Opens the engine; close `engine` in `afterAll`. */
export async function openLinkedRemotes(): Promise<LinkedRemotes> {
  const remotes = new Map([['first', createFakeRemote({ grade: 'A' })]]);
  const engine = await createTestEngine({ types: [createFakeType(remotes)] });
  let count = 0;
  return {
    engine,
    async add(names, more = {}) {
      count += 1;
      const name = `r${count}`;
      const prefix = `l${count}/`;
      const remote = createFakeRemote({ grade: 'A' });
      remotes.set(name, remote);
      for (const one of names) remote.put(memory(one));
      const link = await engine.addLink('fake', { remote: name }, { scope: { prefix }, ...more });
      return {
        remote,
        link,
        prefix,
        sync: () => engine.drain(link),
        keys: async () => {
          const page = await engine.store.contexts.list(CALLER, { prefix, limit: 100 });
          return page.items.map((item) => item.key);
        },
      };
    },
  };
}

export const memory = (name: string): Memory => ({
  name,
  type: 'thing',
  observations: [`about ${name}`],
  relations: [],
});

import { describeConnectorConformance } from '../../connectors/conformance.ts';
import type { Grade } from '../../connectors/connector.ts';
import { createFakeRemote } from '../../connectors/fake/fake-remote.ts';
import type { FakeIds } from '../../connectors/fake/fake-store.ts';
import { canonicalMemory } from '../../domain/item.ts';

const MEMORY_ONLY = ['memory'] as const;
const FAKES: readonly (readonly [Grade, FakeIds])[] = [
  ['A', 'assigned'],
  ['A', 'name'],
  ['B', 'name'],
  ['C', 'name'],
];

for (const [grade, ids] of FAKES) {
  const options = { grade, ids, kinds: MEMORY_ONLY, pageSize: 2 };
  describeConnectorConformance(`the fake of grade ${grade} with ${ids} ids`, {
    capabilities: createFakeRemote(options).capabilities,
    isVerbatim: true,
    sample: (name, texts) => ({
      kind: 'memory',
      value: canonicalMemory({ name, type: 'note', observations: [...texts], relations: [] }),
    }),
    async open() {
      const remote = createFakeRemote(options);
      return {
        connector: remote.connect(),
        async editBehind(edit) {
          if (edit.action === 'put') remote.put(edit.value, edit.kind);
          else remote.remove(edit.remoteId);
        },
        close: () => Promise.resolve(),
      };
    },
  });
}

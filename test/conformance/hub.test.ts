import { afterAll, beforeAll } from 'vitest';
import {
  describeConnectorConformance,
  HOSTILE_STRINGS,
  type ConformanceHarness,
} from '../../connectors/conformance.ts';
import type { Connector } from '../../connectors/connector.ts';
import { hub, HUB_CAPABILITIES } from '../../connectors/hub/hub.ts';
import { canonicalMemory, itemName } from '../../domain/item.ts';
import type { JsonObject } from '../../domain/json.ts';
import { startHubNode, type HubNode } from '../support/hub-node.ts';

const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined };

let node: HubNode;
let count = 0;
beforeAll(async () => {
  node = await startHubNode();
});
afterAll(() => node.close());

/** Nested deeper than any hub takes. */
const tooDeep = (): JsonObject => {
  let value: JsonObject = {};
  for (let depth = 0; depth < 205; depth += 1) value = { deeper: value };
  return value;
};

/** A real second API server over real Postgres; every test has a prefix of its own. */
const harness: ConformanceHarness = {
  capabilities: HUB_CAPABILITIES,
  isVerbatim: true,
  // Keys have at most 512 characters, none of them a control character.
  impossibleNames: ['newlines', 'markdown', 'long', 'whitespace', 'control'].map(
    (name) => HOSTILE_STRINGS[name]!,
  ),
  refusedValue: tooDeep(),
  sample: (name, texts) => ({
    kind: 'memory',
    value: canonicalMemory({ name, type: 'note', observations: [...texts], relations: [] }),
  }),
  async open() {
    count += 1;
    const prefix = `conformance-${count}/`;
    const opened = await hub.open(
      { url: node.url, prefix },
      {
        permissions: { fileRoots: [], stdioCommands: [] },
        secret: (name) => name,
        log: SILENT,
      },
    );
    // Other test files' transactions hold the feed back for a moment; the suite counts on order.
    const connector = { ...opened, observe: shownFirst(opened.observe) } as Connector;
    return {
      connector,
      editBehind: (edit) =>
        edit.action === 'put'
          ? node.put(`${prefix}${itemName(edit.kind, edit.value) ?? ''}`, edit.value, edit.kind)
          : node.remove(`${prefix}${edit.remoteId}`),
      close: () => Promise.resolve(),
    };
  },
};

function shownFirst<Request, Page>(observe: (request: Request) => Promise<Page>) {
  return async (request: Request): Promise<Page> => {
    await node.shown();
    return observe(request);
  };
}

describeConnectorConformance('hub', harness);

import {
  describeConnectorConformance,
  type ConformanceHarness,
} from '../../connectors/conformance.ts';
import { MCP_MEMORY_CAPABILITIES, mcpMemory } from '../../connectors/mcp-memory/mcp-memory.ts';
import { canonicalMemory, type Memory } from '../../domain/item.ts';
import { createMemoryWorkspace, startForeignMemory } from './memory-workspace.ts';

/** Two real server processes per test: ours, and one that writes behind our back. */
const harness: ConformanceHarness = {
  capabilities: MCP_MEMORY_CAPABILITIES,
  isVerbatim: true,
  sample: (name, texts) => ({
    kind: 'memory',
    value: canonicalMemory({ name, type: 'note', observations: [...texts], relations: [] }),
  }),
  async open() {
    const workspace = await createMemoryWorkspace();
    const foreign = await startForeignMemory(workspace);
    const connector = await mcpMemory.open(workspace.config, workspace.context);
    return {
      connector,
      async editBehind(edit) {
        if (edit.action === 'put') await foreign.put(edit.value as Memory);
        else await foreign.call('delete_entities', { entityNames: [edit.remoteId] });
      },
      async close() {
        await foreign.close();
        await workspace.remove();
      },
    };
  },
};

describeConnectorConformance('mcp-memory', harness);

import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { claudeCode } from '../../connectors/claude-code/claude-code.ts';
import {
  describeConnectorConformance,
  type ConformanceHarness,
} from '../../connectors/conformance.ts';
import type { Memory } from '../../domain/item.ts';
import { createClaudeProject, noteText } from '../integration/claude-code-project.ts';
import { memory } from '../integration/factory-files-project.ts';

/** Real files; the foreign editor writes notes the way Claude Code does, and finds them by name. */
const harness: ConformanceHarness = {
  capabilities: claudeCode.capabilities,
  isVerbatim: true,
  sample: (name, texts) => ({ kind: 'memory', value: memory(name, texts) }),
  async open() {
    const project = await createClaudeProject();
    return {
      connector: await project.open(),
      async editBehind(edit) {
        const name = edit.action === 'put' ? (edit.value as Memory).name : edit.remoteId;
        const known = await noteNamed(project.memoryDir, name);
        if (edit.action === 'remove') await rm(join(project.memoryDir, known ?? ''));
        else
          await project.write(
            `memory/${known ?? `${name.toLowerCase()}.md`}`,
            noteText(edit.value as Memory),
          );
      },
      close: () => project.remove(),
    };
  },
};

async function noteNamed(folder: string, name: string): Promise<string | undefined> {
  for (const file of await readdir(folder)) {
    const text = await readFile(join(folder, file), 'utf8');
    if (text.includes(`\nname: ${name}\n`)) return file;
  }
  return undefined;
}

describeConnectorConformance('claude-code', harness);

import {
  describeConnectorConformance,
  type ConformanceHarness,
} from '../../connectors/conformance.ts';
import { factoryFiles } from '../../connectors/factory-files/factory-files.ts';
import type { Memory } from '../../domain/item.ts';
import { createProject, memory } from '../integration/factory-files-project.ts';

/** Real files; the foreign editor knows Markdown only as somebody with a text editor does. */
const harness: ConformanceHarness = {
  capabilities: factoryFiles.capabilities,
  isVerbatim: true,
  sample: (name, texts) => ({ kind: 'memory', value: memory(name, texts) }),
  async open() {
    const project = await createProject();
    return {
      connector: await project.open(),
      async editBehind(edit) {
        const text = await project.read().catch(() => '# Project Memory\n');
        const name = edit.action === 'put' ? (edit.value as Memory).name : edit.remoteId;
        const body = edit.action === 'put' ? sectionOf(edit.value as Memory) : '';
        await project.write(withSection(text, name, body));
      },
      close: () => project.remove(),
    };
  },
};

function sectionOf({ name, observations }: Memory): string {
  return [`## ${name}`, '', ...observations.map((one) => `- ${one}`), '', ''].join('\n');
}

/** Swaps the lines from a heading to the next heading or comment; appends where there is none. */
function withSection(text: string, name: string, body: string): string {
  const lines = text.split('\n');
  const start = lines.indexOf(`## ${name}`);
  if (start < 0) return `${text}\n${body}`;
  const length = lines.slice(start + 1).findIndex((line) => /^(?:## |<!--)/.test(line));
  const end = length < 0 ? lines.length : start + 1 + length;
  return [...lines.slice(0, start), ...body.split('\n').slice(0, -1), ...lines.slice(end)].join(
    '\n',
  );
}

describeConnectorConformance('factory-files', harness);

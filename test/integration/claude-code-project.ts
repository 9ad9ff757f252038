/** A project with Claude Code's files in temporary folders, with a connector open on it. */
import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { claudeCode } from '../../connectors/claude-code/claude-code.ts';
import type { Connector } from '../../connectors/connector.ts';
import type { Memory } from '../../domain/item.ts';
import type { JsonObject } from '../../domain/json.ts';
import { openContext } from './factory-files-project.ts';

export interface ClaudeProject {
  /** Holds both folders; the only one that is allowed. */
  readonly home: string;
  readonly root: string;
  readonly memoryDir: string;
  readonly config: JsonObject;
  /** A file by its path in the project; `memory/…` is in the memory folder. */
  path(file: string): string;
  read(file: string): Promise<string>;
  write(file: string, text: string | Uint8Array): Promise<void>;
  open(config?: JsonObject): Promise<Connector>;
  remove(): Promise<void>;
}

export async function createClaudeProject(): Promise<ClaudeProject> {
  const home = await realpath(await mkdtemp(join(tmpdir(), 'claude-code-')));
  const root = join(home, 'project');
  const memoryDir = join(home, '.claude', 'projects', '-project', 'memory');
  const config = { root, memoryDir };
  const open = new Set<Connector>();
  await mkdir(root);
  await mkdir(memoryDir, { recursive: true });
  const path = (file: string): string =>
    file.startsWith('memory/') ? join(memoryDir, file.slice('memory/'.length)) : join(root, file);
  return {
    home,
    root,
    memoryDir,
    config,
    path,
    read: (file) => readFile(path(file), 'utf8'),
    async write(file, text) {
      await mkdir(dirname(path(file)), { recursive: true });
      await writeFile(path(file), text);
    },
    async open(more = {}) {
      const parsed = claudeCode.configSchema.parse({ ...config, ...more });
      const connector = await claudeCode.open(parsed, openContext([home]));
      open.add(connector);
      return connector;
    },
    async remove() {
      for (const connector of open) await connector.close();
      await rm(home, { recursive: true, force: true });
    },
  };
}

/** A note as Claude Code itself writes one. */
export function noteText({ name, observations }: Pick<Memory, 'name' | 'observations'>): string {
  const bullets = observations.map((text) => `- ${text}`).join('\n');
  return `---\nname: ${name}\ndescription: about ${name}\nmetadata: \n  node_type: memory\n---\n\n${bullets}\n`;
}

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { runTestCli } from '../support/cli-under-test.ts';
import { testConnectors } from '../support/api-under-test.ts';
import { startRealApi, type RealApi } from '../support/real-api.ts';

let api: RealApi;
let root: string;
let count = 0;

beforeAll(async () => {
  // Whether a folder may be opened is another test's matter.
  api = await startRealApi({ connectors: { ...testConnectors, check: () => undefined } });
});
afterAll(() => api.stop());

const folders: string[] = [];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'syncline-factory-'));
  folders.push(root);
});
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

interface Given {
  readonly url?: string;
  readonly isTerminal?: boolean;
  readonly answer?: boolean;
}

async function cli(args: readonly string[], given: Given = {}) {
  const questions: string[] = [];
  const isTerminal = given.isTerminal ?? false;
  const ran = await runTestCli(args, {
    isStdoutTerminal: isTerminal,
    isStderrTerminal: isTerminal,
    isStdinTerminal: isTerminal,
    confirm: async (question) => {
      questions.push(question);
      return given.answer ?? false;
    },
    environment: { url: given.url ?? api.url },
  });
  return { ...ran, questions };
}

/** A link of the given project; the name is new each time. */
function add(flags: readonly string[], given?: Given) {
  count += 1;
  const base = ['link', 'add', 'factory-files', '--name', `f${count}`, '--root', root];
  return cli([...base, '--prefix', 'proj/', ...flags], given);
}

const pathOf = (name: string): string => join(root, '.factory', name);
const read = (name: string): string => readFileSync(pathOf(name), 'utf8');
function write(name: string, text: string): void {
  mkdirSync(join(root, '.factory'), { recursive: true });
  writeFileSync(pathOf(name), text);
}
const HOOK = {
  hooks: [{ type: 'command', command: 'syncline context inject --prefix proj/', timeout: 15 }],
};

describe('the hook of `link add factory-files`', () => {
  it('is written where there is no file, and a second time changes nothing', async () => {
    const first = await add(['--hooks']);
    expect(first).toMatchObject({ code: 0, stderr: '' });
    expect(first.stdout).toContain(`Wrote ${pathOf('hooks.json')}`);
    expect(JSON.parse(read('hooks.json'))).toEqual({ SessionStart: [HOOK] });
    const before = read('hooks.json');
    expect((await add(['--hooks'])).stdout).toContain('says it already');
    expect(read('hooks.json')).toBe(before);
    expect(readdirSync(join(root, '.factory'))).toEqual(['hooks.json']);
  });

  it('is added to the hooks that are there, whose bytes all stay', async () => {
    const text =
      '{\r\n    // ours\r\n    "PreCompact": [ {"hooks":[]} ],\r\n    "SessionStart": [\r\n        {"hooks": [{"type": "command", "command": "date"}]}\r\n    ]\r\n}\r\n';
    write('hooks.json', text);
    await add(['--hooks']);
    const after = read('hooks.json');
    const cut = text.indexOf('"date"}]}') + '"date"}]}'.length;
    expect(after.startsWith(`${text.slice(0, cut)},\r\n`)).toBe(true);
    expect(after.endsWith(text.slice(cut))).toBe(true);
    expect(after.replaceAll('\r\n', '')).not.toContain('\n');
    expect(after).toContain('syncline context inject --prefix proj/');
  });

  it('goes under `hooks` in a file of the older form', async () => {
    write('hooks.json', '{"hooks": {"Stop": []}}');
    await add(['--hooks']);
    expect(JSON.parse(read('hooks.json'))).toEqual({ hooks: { Stop: [], SessionStart: [HOOK] } });
  });

  it('is changed in place when the prefix is another one', async () => {
    await add(['--hooks']);
    const before = read('hooks.json');
    await add(['--prefix', "it's mine/", '--hooks']);
    expect(read('hooks.json')).toBe(
      before.replace('--prefix proj/', String.raw`--prefix 'it'\\''s mine/'`),
    );
  });

  it.each([
    ['no JSON', '{"SessionStart": [', /not valid JSON \(line 1/],
    ['a list', '[]', /not a JSON object/],
    ['an event that is no list', '{"SessionStart": {}}', /SessionStart is not a list/],
  ])('refuses %s, writes nothing and makes no link', async (_, text, message) => {
    write('hooks.json', text);
    const { code, stderr } = await add(['--hooks']);
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
    expect(read('hooks.json')).toBe(text);
    expect((await cli(['link', 'show', `f${count}`])).code).toBe(1);
  });

  it('is only asked about on a terminal, and written only on a yes', async () => {
    expect((await add([])).questions).toEqual([]);
    expect((await add([], { isTerminal: true })).questions).toHaveLength(1);
    expect((await add(['--json'], { isTerminal: true })).questions).toEqual([]);
    expect((await add(['--no-hooks', '--no-mcp'], { isTerminal: true })).questions).toEqual([]);
    expect(existsSync(pathOf('hooks.json'))).toBe(false);
    await add([], { isTerminal: true, answer: true });
    expect(existsSync(pathOf('hooks.json'))).toBe(true);
  });

  it('is refused for another connector', async () => {
    const { code, stderr } = await cli(['link', 'add', 'mcp-memory', '--command', 'x', '--hooks']);
    expect(code).toBe(2);
    expect(stderr).toContain('--hooks and --mcp go with factory-files');
  });
});

describe('the memory server of `link add factory-files`', () => {
  it('is left out, with the reason, when no server is linked under the prefix', async () => {
    const { code, stdout } = await add(['--mcp']);
    expect(code).toBe(0);
    expect(stdout).toContain('no MCP memory server is linked under this prefix');
    expect(existsSync(pathOf('mcp.json'))).toBe(false);
  });

  it('is the one linked under the prefix, beside the servers that are there', async () => {
    const server = [
      '--command',
      'npx',
      '--arg',
      'server-memory',
      '--memory-file',
      '/m/graph.jsonl',
    ];
    await cli(['link', 'add', 'mcp-memory', '--name', 'mem', '--prefix', 'mcp/', ...server]);
    write('mcp.json', '{"mcpServers": {"memory": {"type": "http", "url": "http://x.test"}}}');
    const { stdout } = await add(['--prefix', 'mcp/', '--mcp']);
    expect(stdout).toContain(`Wrote ${pathOf('mcp.json')}`);
    expect(JSON.parse(read('mcp.json'))).toEqual({
      mcpServers: {
        memory: { type: 'http', url: 'http://x.test' },
        'memory-2': {
          type: 'stdio',
          command: 'npx',
          args: ['server-memory'],
          env: { MEMORY_FILE_PATH: '/m/graph.jsonl' },
        },
      },
    });
    const before = read('mcp.json');
    expect((await add(['--prefix', 'mcp/', '--mcp'])).stdout).toContain('says it already');
    expect(read('mcp.json')).toBe(before);
  });
});

describe('`syncline context inject`', () => {
  it("prints a SessionStart hook's answer with the contexts of the prefix", async () => {
    const data = '{"name":"Alice","type":"t","observations":["likes tea"],"relations":[]}';
    await cli(['context', 'put', 'inj/alice', data, '--kind', 'memory']);
    await cli(['context', 'put', 'other/bob', '"not asked for"']);
    const { code, stdout, stderr } = await cli(['context', 'inject', '--prefix', 'inj/']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const { hookSpecificOutput } = JSON.parse(stdout) as Answer;
    expect(hookSpecificOutput.hookEventName).toBe('SessionStart');
    expect(hookSpecificOutput.additionalContext).toContain('## Alice\n\n- likes tea\n');
    expect(hookSpecificOutput.additionalContext).not.toContain('not asked for');
  });

  it('prints an empty answer and exits 0 when the server is out', async () => {
    const { code, stdout, stderr } = await cli(['context', 'inject'], {
      url: 'http://127.0.0.1:9',
    });
    expect(code).toBe(0);
    expect((JSON.parse(stdout) as Answer).hookSpecificOutput.additionalContext).toBe('');
    expect(stderr).toContain('without shared context');
  });
});

interface Answer {
  readonly hookSpecificOutput: {
    readonly hookEventName: string;
    readonly additionalContext: string;
  };
}

import { describe, expect, it } from 'vitest';
import {
  checkMcpMemoryAllowed,
  isInside,
  mcpMemoryConfigSchema,
  resolveSecrets,
} from '../../../../connectors/mcp-memory/mcp-memory-config.ts';
import { malformedLine } from '../../../../connectors/mcp-memory/memory-file.ts';
import { createSerialQueue } from '../../../../connectors/serial-queue.ts';

describe('the config of mcp-memory', () => {
  const good = [
    { command: 'node' },
    { command: 'node', args: ['x'], env: { A: 'b', C: { env: 'D' } }, memoryFile: '/m.jsonl' },
    { url: 'https://example.test/mcp' },
    { url: 'http://127.0.0.1:1/mcp', headers: { authorization: { env: 'TOKEN' } } },
  ];
  it.each(good.map((config) => [config]))('takes %j', (config) => {
    expect(mcpMemoryConfigSchema.parse(config)).toEqual(config);
  });

  const bad = [
    {},
    { command: '' },
    { command: 'node', memoryFile: 'relative.jsonl' },
    { command: 'node', url: 'https://example.test' },
    { command: 'node', env: { MEMORY_FILE_PATH: '/elsewhere.jsonl' } },
    { command: 'node', env: { A: { env: 'B', extra: 1 } } },
    { url: 'file:///etc/passwd' },
    { url: 'not an address' },
    { url: 'https://example.test', memoryFile: '/m.jsonl' },
  ];
  it.each(bad.map((config) => [config]))('refuses %j', (config) => {
    expect(mcpMemoryConfigSchema.safeParse(config).success).toBe(false);
  });

  it('resolves secrets by name and leaves clear text alone', () => {
    const values = { A: 'clear', B: { env: 'NAME' } };
    expect(resolveSecrets(values, (name) => `<${name}>`)).toEqual({ A: 'clear', B: '<NAME>' });
  });

  it('is allowed by command only, and by the folder of its file', () => {
    const permissions = { fileRoots: ['/data'], stdioCommands: ['node'] };
    const check = (config: object) => () =>
      checkMcpMemoryAllowed(mcpMemoryConfigSchema.parse(config), permissions);
    expect(check({ command: 'node', args: ['anything'] })).not.toThrow();
    expect(check({ command: 'node', memoryFile: '/data/a/m.jsonl' })).not.toThrow();
    expect(check({ url: 'http://127.0.0.1:1/mcp' })).not.toThrow();
    expect(check({ url: 'https://example.test' })).toThrow('SYNCLINE_REMOTE_HOSTS');
    expect(check({ command: '/usr/bin/node' })).toThrow('SYNCLINE_STDIO_ALLOW');
    expect(check({ command: 'node', memoryFile: '/database/m' })).toThrow('SYNCLINE_FILE_ROOTS');
    expect(check({ command: 'node', memoryFile: '/data/../etc/m' })).toThrow('SYNCLINE_FILE_ROOTS');
  });

  it('knows inside from outside by path segments', () => {
    expect(isInside('/data', '/data/x')).toBe(true);
    expect(isInside('/data', '/data/..x')).toBe(true);
    expect(isInside('/data', '/data')).toBe(false);
    expect(isInside('/data', '/data2/x')).toBe(false);
    expect(isInside('/', '/x')).toBe(true);
  });
});

describe('the first line a memory server cannot read', () => {
  it.each([
    ['{"a":1}\n\n  \n{"b":2}', null],
    ['', null],
    ['5\n"text"\n[]', null],
    ['{"a":1}\r\n{"b":2}\r\n', null],
    ['{"a":1}\nnull', 2],
    ['{"a":1}\n\n{"b":', 3],
    ['\uFEFF{"a":1}', 1],
  ])('of %j is %s', (text, line) => {
    expect(malformedLine(text)).toBe(line);
  });
});

describe('a serial queue', () => {
  it('never overlaps tasks, keeps their order and survives a failing one', async () => {
    const inTurn = createSerialQueue();
    const log: string[] = [];
    const task = (name: string) => async () => {
      log.push(`${name} begins`);
      await Promise.resolve();
      log.push(`${name} ends`);
      if (name === 'b') throw new Error('b fails');
      return name;
    };
    const results = await Promise.allSettled(['a', 'b', 'c'].map((name) => inTurn(task(name))));
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(log).toEqual(['a', 'b', 'c'].flatMap((name) => [`${name} begins`, `${name} ends`]));
  });
});

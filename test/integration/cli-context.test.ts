/** `syncline context …` and `syncline stats` against the real store. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runTestCli } from '../support/cli-under-test.ts';
import { startRealApi, type RealApi } from '../support/real-api.ts';

let api: RealApi;
beforeAll(async () => {
  api = await startRealApi();
});
afterAll(() => api.stop());

const cli = (...args: readonly string[]) => runTestCli(args, { environment: { url: api.url } });
const rowsOf = (stdout: string): string[][] =>
  stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.split('\t'));

describe('the history of a context', () => {
  it('is listed, compared and gone back to', async () => {
    await cli('context', 'put', 'c/a', '{"step":1,"gone":true}');
    const changed = '{"step":2,"list":["\\u001b[31m"]}';
    expect(await cli('context', 'put', 'c/a', changed, '--ttl', 'never')).toMatchObject({
      stderr: '',
      code: 0,
    });
    const diff = await cli('context', 'diff', 'c/a');
    expect(diff).toEqual({
      code: 0,
      stderr: '',
      stdout: ['From version 1 to 2:', '- /gone', '+ /list ["\\u001b[31m"]', '~ /step 2', ''].join(
        '\n',
      ),
    });
    const same = await cli('context', 'diff', 'c/a', '--from', '2', '--to', '2');
    expect(same.stdout).toBe('Versions 2 and 2 are equal.\n');
    const asJson = await cli('context', 'diff', 'c/a', '--json', '--from', '1', '--to', '2');
    expect(JSON.parse(asJson.stdout)).toMatchObject({ from: 1, to: 2, delta: { step: [1, 2] } });
    const rolled = await cli('context', 'rollback', 'c/a', '--to', '1', '--by', 'ann');
    expect(rolled.stdout).toBe('`c/a` has the data of version 1 again, as version 3\n');
    const versions = rowsOf((await cli('context', 'versions', 'c/a')).stdout);
    expect(versions.map(([version, change, , by]) => [version, change, by])).toEqual([
      ['VERSION', 'CHANGE', 'BY'],
      ['3', 'rollback', 'ann'],
      ['2', 'update', '-'],
      ['1', 'create', '-'],
    ]);
  });

  it('answers with codes what cannot be done', async () => {
    await cli('context', 'put', 'c/b', '1');
    for (const [args, code, said] of [
      [['rollback', 'c/b', '--to', '7'], 1, 'VERSION_NOT_FOUND'],
      [['rollback', 'c/b', '--to', '1', '--if-version', '9'], 1, 'VERSION_CONFLICT'],
      [['rollback', 'c/b'], 2, '--to'],
      [['rollback', 'c/b', '--to', 'x'], 2, 'whole number'],
      [['diff', 'c/none'], 1, 'CONTEXT_NOT_FOUND'],
      [['diff', 'c/b', '--from', '0'], 2, 'whole number'],
      [['put', 'c/b', '1', '--by', 'ann'], 2, '--change-type'],
      [['put', 'c/b', '1', '--encrypt'], 1, 'ENCRYPTION_NOT_CONFIGURED'],
    ] as const) {
      const result = await cli('context', ...args);
      expect([result.code, result.stdout]).toEqual([code, '']);
      expect(result.stderr).toContain(said);
    }
  });
});

describe('options of a context', () => {
  it('are set by put and filtered by list', async () => {
    const options = ['--session', 's', '--agent', 'g', '--parent', 'o/p', '--source', 'cli'];
    await cli('context', 'put', 'o/a', '"a"', ...options, '--compress');
    await cli('context', 'put', 'o/b', '"b"', '--no-compress');
    const whole = JSON.parse((await cli('context', 'get', 'o/a', '--json')).stdout) as object;
    expect(whole).toMatchObject({
      sessionId: 's',
      agentId: 'g',
      parentId: 'o/p',
      source: 'cli',
      compressed: true,
    });
    for (const filter of [
      ['--session', 's'],
      ['--agent', 'g'],
      ['--parent', 'o/p'],
      ['--source', 'cli'],
    ]) {
      const { stdout } = await cli('context', 'list', '--prefix', 'o/', ...filter);
      expect(rowsOf(stdout).map(([key]) => key)).toEqual(['KEY', 'o/a']);
    }
    const changed = ['put', 'o/a', '{}', '--change-type', 'replace', '--by', 'ann'];
    await cli('context', ...changed);
    const after = JSON.parse((await cli('context', 'get', 'o/a', '--json')).stdout) as object;
    expect(after).toMatchObject({ updatedBy: 'ann', sessionId: 's' });
  });
});

describe('the time to live', () => {
  it.each([
    ['90', 90],
    ['90s', 90],
    ['6h', 21_600],
    ['30d', 2_592_000],
  ])('of %s counts as %i seconds, at the first put and at a change', async (ttl, seconds) => {
    for (const more of [[], ['--change-type', 'replace']]) {
      const { stdout } = await cli('context', 'put', 't', '1', '--ttl', ttl, '--json', ...more);
      const { updatedAt, expiresAt } = JSON.parse(stdout) as Record<string, string>;
      expect(Date.parse(expiresAt!) - Date.parse(updatedAt!)).toBe(seconds * 1_000);
    }
  });
});

describe('stats', () => {
  it('count, of everything or of one session', async () => {
    await cli('context', 'put', 's/a', '1', '--session', 'mine', '--ttl', 'never');
    await cli('context', 'put', 's/a', '22', '--session', 'mine', '--ttl', 'never');
    const { stdout, code } = await cli('stats', '--session', 'mine');
    expect(code).toBe(0);
    const [heads, counts] = rowsOf(stdout);
    expect([heads, counts]).toEqual([
      ['CONTEXTS', 'VERSIONS', 'BYTES', 'SESSIONS', 'AGENTS'],
      ['1', '2', '2', '1', '0'],
    ]);
    expect(stdout).toContain('By change: create 1, update 1\n');
    expect(stdout).toContain('Cache: off');
    expect(stdout).toContain('s/a\t2\t2\t');
    const asJson = JSON.parse((await cli('stats', '--json')).stdout) as { contexts: number };
    expect(asJson.contexts).toBeGreaterThan(1);
    expect((await cli('stats', '--session', '')).stderr).toContain('VALIDATION');
  });

  it.each([['context', 'diff'], ['context', 'rollback'], ['context', 'versions'], ['stats']])(
    'and its like have help with an example: %s %s',
    async (...command) => {
      const { code, stdout } = await cli(...command.filter(Boolean), '--help');
      expect(code).toBe(0);
      expect(stdout).toMatch(new RegExp(`Example:\\n {2}\\$ syncline ${command.join(' ')}`));
      expect(stdout).toContain('--json');
    },
  );
});

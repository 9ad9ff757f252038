import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { storeOptionsSchema } from '../../../api/schemas/contexts.ts';
import { resolveSchema } from '../../../api/schemas/conflicts.ts';
import { rollbackBodySchema } from '../../../api/schemas/history.ts';
import { hubConfigSchema } from '../../../connectors/hub/hub-config.ts';
import { mcpMemoryConfigSchema } from '../../../connectors/mcp-memory/mcp-memory-config.ts';
import { fieldErrorsOf } from '../../../domain/field-errors.ts';

/** `pointer: detail` of every fault. */
function faults(schema: z.ZodType, value: unknown): string[] {
  const { error } = schema.safeParse(value);
  return fieldErrorsOf(error?.issues ?? [], value, { at: ['config'] }).map(
    ({ pointer, detail }) => `${pointer}: ${detail}`,
  );
}

const EITHER =
  '/config: needs either `command` (a program, spoken to over stdio) or `url` (an address, over HTTP), and not both';

describe('what is wrong with a config', () => {
  it('says that a memory server is named by a command or an address, and not by both', () => {
    expect(faults(mcpMemoryConfigSchema, {})).toEqual([EITHER]);
    const both = { command: 'npx', url: 'http://127.0.0.1:1' };
    expect(faults(mcpMemoryConfigSchema, both)).toEqual([EITHER]);
    expect(faults(mcpMemoryConfigSchema, null)).toEqual([EITHER]);
  });

  it('names the field of the form that was meant, when it is clear which', () => {
    expect(faults(mcpMemoryConfigSchema, { command: 'npx', args: 'no' })).toEqual([
      '/config/args: must be an array',
    ]);
    expect(faults(mcpMemoryConfigSchema, { url: 'http://h', colour: 1 })).toEqual([
      '/config/colour: is not a field of this request',
    ]);
    expect(
      faults(mcpMemoryConfigSchema, { url: 'http://h', headers: { A: { clear: 'x' } } }),
    ).toEqual([
      '/config/headers/A/env: is required',
      '/config/headers/A/clear: is not a field of this request',
    ]);
    expect(faults(mcpMemoryConfigSchema, { url: 'http://h', headers: { A: 5 } })).toEqual([
      expect.stringContaining('/config/headers/A: must be a text, or {"env":"NAME"}'),
    ]);
  });

  it('says which addresses there are', () => {
    for (const url of ['ftp://127.0.0.1/x', 'nonsense', '', 5]) {
      const said = '/config/url: must be an address that begins with http:// or https://';
      expect(faults(hubConfigSchema, { url })).toContain(said);
    }
    expect(faults(mcpMemoryConfigSchema, { url: 'ftp://h/x' })).toEqual([
      '/config/url: must be an address that begins with http:// or https://',
    ]);
    expect(faults(hubConfigSchema, {})).toEqual(['/config/url: is required']);
  });

  it('points from a secret in clear to the variable that should hold it, and does not repeat it', () => {
    const said = faults(hubConfigSchema, { url: 'http://h', apiKey: 'sk-SECRET' });
    expect(said).toEqual([expect.stringContaining('/config/apiKey: must be {"env":"NAME"}')]);
    expect(said.join()).not.toContain('sk-');
    expect(faults(hubConfigSchema, { url: 'http://h', apiKey: {} })).toEqual([
      '/config/apiKey/env: is required',
    ]);
  });
});

describe('a choice', () => {
  it('that is missing is required; one that is not known is told the known ones', () => {
    expect(faults(resolveSchema, { by: 'ann' })).toContain('/config/choice: is required');
    expect(faults(resolveSchema, { choice: 'theirs', by: 'ann' })).toEqual([
      '/config/choice: must be one of `hub`, `remote`, `base`, `merged`, `value`',
    ]);
  });
});

describe('a bound', () => {
  it.each([
    [z.number().min(1).max(5), 0, 'must be at least 1'],
    [z.number().min(1).max(5), 6, 'must be at most 5'],
    [z.number().positive(), 0, 'must be more than 0'],
    [z.number().lt(1), 1, 'must be less than 1'],
    [z.string().min(1), '', 'must not be empty'],
    [z.string().max(2), 'abc', 'must have at most 2 character(s)'],
    [z.array(z.string()).min(2), ['a'], 'must have at least 2 item(s)'],
    [z.coerce.number().int(), 'abc', 'must be a number'],
    [z.url(), 'nowhere', 'must be an address (URL)'],
  ])('of %o that %j breaks is told in plain words', (schema, value, detail) => {
    expect(faults(schema, value)).toEqual([`/config: ${detail}`]);
  });

  it.each([0, 3_153_600_001, 0.5, '60', Number.NaN])(
    'of a whole number in a body is told whole, and once: %j',
    (ttl) => {
      expect(faults(storeOptionsSchema, { ttl })).toEqual([
        '/config/ttl: must be a whole number from 1 to 3153600000',
      ]);
    },
  );

  it('does not make what is missing a wrong number', () => {
    expect(faults(rollbackBodySchema, {})).toEqual(['/config/version: is required']);
  });
});

describe('a value of several forms', () => {
  const either = z.union([z.boolean(), z.stringbool()], { error: 'must be true or false' });

  it('that is wrong as a whole is told what was written for all of them', () => {
    expect(faults(either, 'perhaps')).toEqual(['/config: must be true or false']);
  });
});

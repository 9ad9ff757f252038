import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { AppError } from '../../../domain/errors.ts';
import { masterKeysOf, parseMasterKey } from '../../../store/crypto/master-keys.ts';

const BYTES = randomBytes(32);

describe('a master key', () => {
  it.each([
    ['base64', BYTES.toString('base64'), BYTES],
    ['base64 without padding', BYTES.toString('base64').replace('=', ''), BYTES],
    ['base64 for URLs', BYTES.toString('base64url'), BYTES],
    ['hex', BYTES.toString('hex'), BYTES],
    ['upper-case hex', BYTES.toString('hex').toUpperCase(), BYTES],
    [
      '32 characters',
      'a 32 character secret key, plain',
      Buffer.from('a 32 character secret key, plain'),
    ],
  ])('is taken as %s', (_name, text, bytes) => {
    expect(parseMasterKey(text)).toEqual(bytes);
  });

  it.each([
    ['nothing', ''],
    ['31 characters', 'x'.repeat(31)],
    ['33 characters', 'x'.repeat(33)],
    ['hex of 31 bytes', randomBytes(31).toString('hex')],
    ['base64 of 31 bytes', randomBytes(31).toString('base64')],
    ['base64 of 33 bytes', randomBytes(33).toString('base64')],
    ['31 characters of which one has two bytes too many', `${'x'.repeat(31)}€`],
    ['the placeholder of the seed', 'your_32_character_secret_key'],
  ])('is refused as %s, and not shown', (_name, text) => {
    expect(parseMasterKey(text)).toBeNull();
    try {
      masterKeysOf({ key: text, oldKeys: [] });
    } catch (error) {
      expect(error).toBeInstanceOf(AppError);
      expect(error).toMatchObject({ code: 'CONFIG_INVALID' });
      if (text !== '') expect(String(error)).not.toContain(text);
      return;
    }
    throw new Error('it was taken');
  });

  it('has a fingerprint that is the same for each spelling, and tells nothing of it', () => {
    const id = (key: string): string => masterKeysOf({ key, oldKeys: [] })!.current.id;
    expect(id(BYTES.toString('hex'))).toBe(id(BYTES.toString('base64')));
    expect(id(BYTES.toString('hex'))).toMatch(/^[0-9a-f]{16}$/);
    expect(BYTES.toString('hex')).not.toContain(id(BYTES.toString('hex')));
    expect(id(randomBytes(32).toString('hex'))).not.toBe(id(BYTES.toString('hex')));
  });

  it('is found by its fingerprint, old ones too; another one is named as missing', () => {
    const old = randomBytes(32).toString('hex');
    const keys = masterKeysOf({ key: BYTES.toString('hex'), oldKeys: [old] })!;
    expect(keys.find(keys.current.id).key).toEqual(BYTES);
    const oldId = masterKeysOf({ key: old, oldKeys: [] })!.current.id;
    expect(keys.find(oldId).key.toString('hex')).toBe(old);
    expect(() => keys.find('0123456789abcdef')).toThrow(/0123456789abcdef is not configured/);
  });

  it('may be missing: then nothing is encrypted', () => {
    expect(masterKeysOf({ key: null, oldKeys: [] })).toBeNull();
  });
});

import fc from 'fast-check';
import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { keyedHash, open, seal, type Binding } from '../../../store/crypto/seal.ts';

const key = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes));
const plain = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
const text = fc.string({ unit: 'binary', maxLength: 8 });
const binding = fc
  .tuple(text, fc.array(text, { maxLength: 3 }))
  .map(([what, facts]): Binding => [what, ...facts]);

describe('a sealed text', () => {
  it('opens with its key and binding, and is never the text itself', () => {
    fc.assert(
      fc.property(key, plain, binding, (k, p, b) => {
        const sealed = seal(k, p, { binding: b, randomBytes });
        expect(open(k, sealed, b).equals(p)).toBe(true);
        expect(sealed.length).toBe(p.length + 28);
        if (p.length > 3) expect(sealed.includes(p)).toBe(false);
      }),
    );
  });

  it('opens with no other key, no other binding, and not with any bit turned', () => {
    fc.assert(
      fc.property(key, key, plain, binding, binding, fc.nat(), (k, k2, p, b, b2, at) => {
        const sealed = seal(k, p, { binding: b, randomBytes });
        if (!k.equals(k2)) expect(() => open(k2, sealed, b)).toThrow(/does not open/);
        if (JSON.stringify(b) !== JSON.stringify(b2))
          expect(() => open(k, sealed, b2)).toThrow(/does not open/);
        const bit = at % (sealed.length * 8);
        sealed[bit >> 3]! ^= 1 << (bit & 7);
        expect(() => open(k, sealed, b)).toThrow(/does not open/);
      }),
    );
  });

  it('is another one each time: a nonce is never used twice', () => {
    const k = randomBytes(32);
    const one = (): string =>
      seal(k, Buffer.from('same'), { binding: ['x'], randomBytes }).toString('hex');
    const nonces = Array.from({ length: 500 }, () => one().slice(0, 24));
    expect(new Set(nonces).size).toBe(500);
  });
});

describe('a keyed hash', () => {
  it('differs when key, facts or bytes do: no fact runs into the next', () => {
    fc.assert(
      fc.property(key, key, binding, binding, plain, plain, (k1, k2, b1, b2, p1, p2) => {
        const isSame = k1.equals(k2) && JSON.stringify(b1) === JSON.stringify(b2) && p1.equals(p2);
        expect(keyedHash(k1, b1, p1).equals(keyedHash(k2, b2, p2))).toBe(isSame);
        expect(keyedHash(k1, b1, p1).equals(keyedHash(k1, b1, p2))).toBe(p1.equals(p2));
      }),
    );
  });
});

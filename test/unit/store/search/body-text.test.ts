import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { bodyTextOf, MAX_TEXT_BYTES } from '../../../../store/search/body-text.ts';

const textOf = (count: number): Buffer =>
  Buffer.from(
    JSON.stringify(Array.from({ length: count }, () => randomBytes(30).toString('base64'))),
  );

it.each([10, 5_000, 6_500, 50_000])(
  'the text of %i strings is the same compressed',
  async (count) => {
    const bytes = textOf(count);
    const size = bytes.length;
    const plain = await bodyTextOf({ codec: 'none', size, bytes });
    for (const level of [0, 1, 9]) {
      const packed = gzipSync(bytes, { level });
      expect(await bodyTextOf({ codec: 'gzip', size, bytes: packed })).toEqual(plain);
      const beginning = packed.subarray(0, MAX_TEXT_BYTES + 1024);
      expect(await bodyTextOf({ codec: 'gzip', size, bytes: beginning })).toEqual(plain);
    }
  },
);

it('a large body is inflated no further than its text is looked at', async () => {
  const bytes = textOf(50_000);
  const packed = gzipSync(bytes);
  // Whoever inflated all of it would find that it is damaged.
  packed.fill(0xff, Math.floor(packed.length / 2));
  const text = await bodyTextOf({ codec: 'gzip', size: bytes.length, bytes: packed });
  expect(text.values.length).toBeGreaterThan(5_000);
});

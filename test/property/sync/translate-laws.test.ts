/** Laws of reading a remote's edit in the hub's spelling, over arbitrary documents (P9, P19). */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalJson, type Json } from '../../../domain/json.ts';
import { compileSchema } from '../../../sync/merge/field-types.ts';
import { createSameness } from '../../../sync/merge/sameness.ts';
import { translateEdit } from '../../../sync/merge/translate-edit.ts';
import { deepFreeze, document, TYPED_SCHEMA } from './typed-documents.ts';

const translated = (hub: Json, before: Json, now: Json): Json =>
  translateEdit({ base: { hub, remote: before }, remote: now, schema: TYPED_SCHEMA });

const isSame = (a: Json, b: Json): boolean =>
  createSameness().same(a, b, compileSchema(TYPED_SCHEMA));

describe('translation laws', () => {
  it('gives the body of the hub when the remote changed nothing', () => {
    fc.assert(
      fc.property(document, document, (hub, before) => {
        const now = structuredClone(before);
        expect(canonicalJson(translated(hub, before, now))).toBe(canonicalJson(hub));
      }),
    );
  });

  it('gives the body of the remote when both spell alike', () => {
    fc.assert(
      fc.property(document, document, (hub, now) => {
        expect(isSame(translated(hub, structuredClone(hub), now), now)).toBe(true);
      }),
    );
  });

  it('is total, and does not touch its input', () => {
    fc.assert(
      fc.property(document, document, document, (hub, before, now) => {
        const sides = [hub, before, now].map(deepFreeze) as [Json, Json, Json];
        expect(translated(...sides)).not.toBeUndefined();
      }),
    );
  });
});

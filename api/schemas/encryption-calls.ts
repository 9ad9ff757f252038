/** The calls under /api/admin/encryption. */
import { defineCall } from '../call.ts';
import * as s from './encryption.ts';

export const ENCRYPTION_CALLS = {
  rotateEncryptionKey: defineCall({
    id: 'rotateEncryptionKey',
    method: 'post',
    path: '/api/admin/encryption/rotate',
    group: 'Access',
    summary: 'Rotate the encryption key',
    description:
      'New bodies are sealed with a new data key at once; the others are sealed anew in the background, readable throughout. The old key is deleted when nothing needs it.',
    scope: 'admin',
    body: s.rotateSchema,
    bodyIs: 'optional',
    answers: { 202: { description: 'Begun; how far it is.', schema: s.rotationSchema } },
    errors: ['VALIDATION', 'ENCRYPTION_NOT_CONFIGURED', 'TENANT_NOT_FOUND'],
    example: { body: {} },
  }),
  getRotation: defineCall({
    id: 'getRotation',
    method: 'get',
    path: '/api/admin/encryption/rotation',
    group: 'Access',
    summary: 'How far the rotation is',
    scope: 'admin',
    query: s.rotationQuery,
    answers: { 200: { description: 'Keys, and what they still seal.', schema: s.rotationSchema } },
    errors: ['VALIDATION', 'ENCRYPTION_NOT_CONFIGURED', 'TENANT_NOT_FOUND'],
    example: { path: '/api/admin/encryption/rotation' },
  }),
} as const;

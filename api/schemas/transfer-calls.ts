/** Export and import of contexts, as streams of lines. */
import { z } from 'zod';
import { defineCall } from '../call.ts';
import { exportQuery, importQuery, importResultSchema } from './transfer.ts';

/** JSON values, one per line. */
export const NDJSON = 'application/x-ndjson';

export const TRANSFER_CALLS = {
  exportContexts: defineCall({
    id: 'exportContexts',
    method: 'get',
    path: '/api/context/export',
    group: 'Contexts',
    summary: 'Export contexts with their history',
    description:
      'A stream of JSON lines, all of one moment: first a manifest `{format, formatVersion, createdAt, prefix, tags, versions, encryptedLeftOut}`, then every version, by key and number, deletes included. A stream that is not whole ends without its last chunk.',
    scope: 'read',
    query: exportQuery,
    streams: { answer: NDJSON },
    answers: { 200: { description: 'The lines.', schema: z.string() } },
    errors: ['VALIDATION', 'ENCRYPTION_NOT_CONFIGURED', 'DECRYPTION_FAILED'],
    example: { path: '/api/context/export?prefix=proj%2F' },
  }),
  importContexts: defineCall({
    id: 'importContexts',
    method: 'post',
    path: '/api/context/import',
    group: 'Contexts',
    summary: 'Import contexts with their history',
    description:
      'Takes an export as `application/x-ndjson`, also with `Content-Encoding: gzip`. Versions keep their numbers and times; a number that is taken is never given again: what wins over it becomes a new version. A line that cannot be taken is told and costs no other. An import may be repeated as it is, so it takes no `Idempotency-Key`.',
    scope: 'write',
    query: importQuery,
    bodyIs: 'none',
    streams: { body: NDJSON },
    answers: { 200: { description: 'What became of the lines.', schema: importResultSchema } },
    errors: ['VALIDATION', 'UNSUPPORTED_MEDIA_TYPE', 'PAYLOAD_TOO_LARGE', 'INVALID_JSON'],
    example: { path: '/api/context/import?mode=newer', file: 'contexts.ndjson' },
  }),
} as const;

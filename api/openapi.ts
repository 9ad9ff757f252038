/** The OpenAPI 3.1 document, made from the calls of the contract. */
import { z } from 'zod';
import {
  createDocument,
  type ZodOpenApiOperationObject,
  type ZodOpenApiPathsObject,
} from 'zod-openapi';
import { ERROR_CODES, type ErrorCode } from '../domain/errors.ts';
import type { Call } from './call.ts';
import { CALLS, problemSchema } from './contract.ts';
import { takesIdempotencyKey } from './middleware/idempotency.ts';

export type OpenApiDocument = ReturnType<typeof createDocument>;

const JSON_TYPE = 'application/json';
const PROBLEM_TYPE = 'application/problem+json';

/** The document for one version of the product. */
export function openApiDocument(version: string): OpenApiDocument {
  return createDocument(
    {
      openapi: '3.1.0',
      info: {
        title: 'Syncline',
        version,
        description:
          'Contexts that are stored once, versioned, and kept in step with outside systems. JSON in, JSON out; errors are RFC 9457 problems with a `code`. Unknown fields and query parameters are refused.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      servers: [{ url: '/' }],
      components: {
        securitySchemes: {
          apiKey: {
            type: 'http',
            scheme: 'bearer',
            description: 'An api key. Not needed on a loopback address while keys are off.',
          },
        },
      },
      paths: pathsOf(CALLS),
    },
    {
      allowEmptySchema: { custom: true, unknown: true, any: true },
      // What TypeScript calls readonly, the caller still sends.
      override: ({ jsonSchema }) => {
        delete jsonSchema.readOnly;
      },
    },
  );
}

function pathsOf(calls: readonly Call[]): ZodOpenApiPathsObject {
  const paths: ZodOpenApiPathsObject = {};
  for (const call of calls) {
    paths[call.path] = { ...paths[call.path], [call.method]: operationOf(call) };
  }
  return paths;
}

function operationOf(call: Call): ZodOpenApiOperationObject {
  return {
    operationId: call.id,
    tags: [call.group],
    summary: call.summary,
    ...(call.description ? { description: call.description } : {}),
    security: call.scope === null ? [] : [{ apiKey: [] }],
    ...(call.scope === null ? {} : { 'x-scope': call.scope }),
    ...(call.orScope ? { 'x-or-scope': call.orScope } : {}),
    requestParams: {
      path: call.params as z.ZodObject,
      query: call.query as z.ZodObject,
      ...headersOf(call),
    },
    ...requestBodyOf(call),
    responses: { ...answersOf(call), ...problemsOf(call) },
  };
}

const HEADERS = {
  'If-Match': 'Write only if this is the version, e.g. `"3"`; `*` = must exist. Else 412.',
  'If-None-Match':
    'Of a read: answer 304 if this is still the version, e.g. `"3"`. Of a write: write only if this is not the version; `*` = must not exist. Else 412.',
  'Idempotency-Key':
    'At most 255 characters. The same request sent again within a day gets the first answer, with `Idempotency-Replayed: true`.',
} as const;

const TAG = String.raw`(W/)?"[\x21\x23-\x7e]*"`;
const HEADER_SCHEMAS = {
  'If-Match': z.string().regex(new RegExp(String.raw`^(\*|${TAG}(,\s*${TAG})*)$`)),
  'If-None-Match': z.string(),
  'Idempotency-Key': z
    .string()
    .regex(/^[\x20-\x7e\x80-\xff]+$/)
    .min(1)
    .max(255),
} as const;

function headersOf(call: Call): { header?: z.ZodObject } {
  const names = [
    ...(call.precondition === 'If-Match' ? (['If-Match'] as const) : []),
    ...(call.precondition ? (['If-None-Match'] as const) : []),
    ...(takesIdempotencyKey(call) ? (['Idempotency-Key'] as const) : []),
  ];
  if (names.length === 0) return {};
  const headers = names.map((name) => [
    name,
    HEADER_SCHEMAS[name].optional().meta({ description: HEADERS[name] }),
  ]);
  return { header: z.object(Object.fromEntries(headers) as z.ZodRawShape) };
}

function requestBodyOf(call: Call): Pick<ZodOpenApiOperationObject, 'requestBody'> {
  if (call.streams?.body) {
    const content = { [call.streams.body]: { schema: z.string() } };
    return { requestBody: { required: true, content } };
  }
  const hasMembers = Object.keys((call.body as z.ZodObject).shape).length > 0;
  if (call.bodyIs === 'none' || !hasMembers) return {};
  const example = call.example?.body;
  return {
    requestBody: {
      required: call.bodyIs === 'required',
      content: { [JSON_TYPE]: { schema: call.body, ...(example ? { example } : {}) } },
    },
  };
}

function answersOf(call: Call): ZodOpenApiOperationObject['responses'] {
  return Object.fromEntries(
    Object.entries(call.answers).map(([status, answer]) => [
      status,
      {
        description: answer.description,
        ...(answer.schema
          ? { content: { [call.streams?.answer ?? JSON_TYPE]: { schema: answer.schema } } }
          : {}),
        ...(answer.headers ? { headers: answerHeaders(answer.headers) } : {}),
      },
    ]),
  );
}

function answerHeaders(headers: Readonly<Record<string, string>>) {
  return Object.fromEntries(
    Object.entries(headers).map(([name, description]) => [
      name,
      { description, schema: { type: 'string' as const } },
    ]),
  );
}

/** Codes any call may answer, beside its own. */
const COMMON_CODES: readonly ErrorCode[] = ['UNAVAILABLE', 'INTERNAL'];
const KEY_CODES: readonly ErrorCode[] = ['UNAUTHENTICATED', 'FORBIDDEN', 'RATE_LIMITED'];
const REPEAT_CODES: readonly ErrorCode[] = ['IDEMPOTENCY_MISMATCH', 'IDEMPOTENCY_IN_PROGRESS'];

/** Every code a call may answer. */
export function codesOf(call: Call): readonly ErrorCode[] {
  return [
    ...call.errors,
    ...(takesIdempotencyKey(call) ? REPEAT_CODES : []),
    ...(call.scope === null ? [] : KEY_CODES),
    ...COMMON_CODES,
  ];
}

function problemsOf(call: Call): ZodOpenApiOperationObject['responses'] {
  const byStatus = new Map<number, ErrorCode[]>();
  const add = (status: number, code: ErrorCode): unknown =>
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  for (const code of codesOf(call)) add(ERROR_CODES[code][0], code);
  if (call.precondition === 'If-Match') add(412, 'VERSION_CONFLICT');
  return Object.fromEntries(
    [...byStatus]
      // Health's own 503 is an answer, not a problem.
      .filter(([status]) => !(status in call.answers))
      .map(([status, codes]) => [
        status,
        {
          description: codes.join(', '),
          content: { [PROBLEM_TYPE]: { schema: problemSchema } },
        },
      ]),
  );
}

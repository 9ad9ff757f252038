/** What is said over `/context-ws`: the schemas of what comes in, the shapes of what goes out. */
import { z } from 'zod';
import { AppError } from '../../domain/errors.ts';
import type { Change } from '../../domain/context.ts';
import { readJson } from '../json/read-json.ts';
import { contextSchema } from '../schemas/contexts.ts';
import { keySchema, nameSchema, prefixSchema } from '../schemas/values.ts';
import { validate } from '../validate.ts';
import type { Selector } from './selector.ts';

/** Longest message a client may send, bytes (contract 06). */
export const MAX_MESSAGE_BYTES = 64 * 1024;
const MAX_MESSAGE_DEPTH = 8;
const MAX_ID_LENGTH = 64;
const MAX_FIELDS = 100;
const MAX_FIELD_LENGTH = 1024;
const MAX_CURSOR_LENGTH = 64;
const MAX_NAME_CODE_POINTS = 512;

const id = z.string().max(MAX_ID_LENGTH).optional();
const members: ReadonlySet<string> = new Set(Object.keys(contextSchema.shape));
const isPointer = (name: string): boolean => name.startsWith('/') && !/~(?![01])/.test(name);

const fieldSchema = z
  .string()
  .max(MAX_FIELD_LENGTH)
  .refine((name) => (members.has(name) || isPointer(name)) && !name.includes(','), {
    error: 'is neither a member of a context nor a JSON pointer into `data` (without commas)',
  });

const selectors = {
  key: keySchema.optional(),
  prefix: prefixSchema.optional(),
  sessionId: nameSchema(MAX_NAME_CODE_POINTS).optional(),
  tag: nameSchema(MAX_NAME_CODE_POINTS).optional(),
};
type Named = { readonly [Kind in keyof typeof selectors]?: string | undefined };
const named = (of: Named): Selector[] =>
  (['key', 'prefix', 'sessionId', 'tag'] as const).flatMap((kind) => {
    const value = of[kind];
    return value === undefined ? [] : [{ kind, value }];
  });
const isOne = (of: Named): boolean => named(of).length === 1;
const ONE_RULE = { error: 'must name exactly one of `key`, `prefix`, `sessionId`, `tag`' };

const incomingSchema = z.discriminatedUnion(
  'type',
  [
    z.strictObject({
      type: z.literal('subscribe-context'),
      id,
      payload: z
        .strictObject({
          ...selectors,
          since: z.string().min(1).max(MAX_CURSOR_LENGTH).optional(),
          fields: z.array(fieldSchema).min(1).max(MAX_FIELDS).optional(),
        })
        .refine(isOne, ONE_RULE),
    }),
    z.strictObject({
      type: z.literal('unsubscribe-context'),
      id,
      payload: z
        .strictObject({ ...selectors, subscription: z.string().max(MAX_ID_LENGTH).optional() })
        .refine((of) => (of.subscription === undefined) === isOne(of), {
          error:
            'must name a `subscription`, or exactly one of `key`, `prefix`, `sessionId`, `tag`',
        }),
    }),
    z.strictObject({ type: z.literal('ping'), id, payload: z.strictObject({}).optional() }),
  ],
  { error: 'has no known `type`' },
);

/** A message of a client, as it is acted on. `id` is the client's own, given back in the answer. */
export type Incoming = { readonly id: string | undefined } & (
  | {
      readonly type: 'subscribe';
      readonly selector: Selector;
      /** Null: only what comes from now on. */
      readonly since: string | null;
      /** Comma-separated, as {@link ../fields.ts} takes them. */
      readonly fields: string | null;
    }
  | { readonly type: 'unsubscribe'; readonly of: string | Selector }
  | { readonly type: 'ping' }
);

/**
 * Reads a message.
 *
 * @throws AppError PAYLOAD_TOO_LARGE, INVALID_JSON, TOO_DEEP, NUMBER_PRECISION, VALIDATION,
 * INVALID_KEY
 */
export function readMessage(bytes: Uint8Array, isBinary: boolean): Incoming {
  if (bytes.length > MAX_MESSAGE_BYTES) {
    const detail = `A message has at most ${MAX_MESSAGE_BYTES} bytes; this one has ${bytes.length}.`;
    throw new AppError('PAYLOAD_TOO_LARGE', detail);
  }
  if (isBinary) throw new AppError('VALIDATION', 'Messages are JSON text, not binary.');
  const message = validate(incomingSchema, readJson(bytes, MAX_MESSAGE_DEPTH), 'message');
  const common = { id: message.id };
  if (message.type === 'ping') return { ...common, type: 'ping' };
  const [selector] = named(message.payload);
  if (message.type === 'unsubscribe-context') {
    const of = message.payload.subscription ?? selector;
    return { ...common, type: 'unsubscribe', of: of! };
  }
  const { since, fields } = message.payload;
  return {
    ...common,
    type: 'subscribe',
    selector: selector!,
    since: since === undefined || since === 'now' ? null : since,
    fields: fields?.join(',') ?? null,
  };
}

/** The client's id in a message that could not be read, so that it knows which one; if there is one. */
export function requestIdOf(bytes: Uint8Array): string | undefined {
  if (bytes.length > MAX_MESSAGE_BYTES) return undefined;
  try {
    const message = JSON.parse(Buffer.from(bytes).toString()) as unknown;
    const found = z.object({ id }).safeParse(message);
    return found.success ? found.data.id : undefined;
  } catch {
    return undefined;
  }
}

/** A message to a client; updates have a shape of their own, see {@link ./update-message.ts}. */
export type Outgoing =
  | {
      readonly type: 'subscribed';
      readonly payload: { readonly subscription: string; readonly cursor: string };
    }
  | { readonly type: 'unsubscribed'; readonly payload: { readonly subscription: string } }
  | {
      readonly type: 'resync';
      readonly payload: { readonly subscription: string; readonly since: string };
    }
  | {
      readonly type: 'error';
      readonly payload: {
        readonly code: string;
        readonly detail: string;
        /** The one that ended by it. */
        readonly subscription?: string;
      };
    }
  | { readonly type: 'pong' };

/** What an update carries: the row of the change feed, and the fields asked for. */
export type UpdatePayload = Change & object;

/** What a call of the API is: one entry serves the router, validation, OpenAPI, docs and client. */
import { z } from 'zod';
import type { ErrorCode } from '../domain/errors.ts';

/** What a key may do, least first. `admin` holds those before it for one tenant, `root` for all. */
export const SCOPES = ['read', 'write', 'sync', 'admin', 'root'] as const;
export type Scope = (typeof SCOPES)[number];
export type Method = 'get' | 'post' | 'put' | 'patch' | 'delete';

export interface CallAnswer {
  readonly description: string;
  /** Null: no body. */
  readonly schema: z.ZodType | null;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Call<
  Params extends z.ZodType = z.ZodType,
  Query extends z.ZodType = z.ZodType,
  Body extends z.ZodType = z.ZodType,
> {
  readonly id: string;
  readonly method: Method;
  /** OpenAPI form: `/api/context/get/{key}`. */
  readonly path: string;
  readonly group: 'Contexts' | 'Links' | 'Runs' | 'Conflicts' | 'Access' | 'Server';
  readonly summary: string;
  readonly description?: string;
  /** Null: needs no key. */
  readonly scope: Scope | null;
  /** Another scope that will do; the handler looks closer where it does not do for everything. */
  readonly orScope?: Scope;
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  /** `none`: the call has no body; `optional`: an absent one counts as `{}`. */
  readonly bodyIs: 'none' | 'optional' | 'required';
  /** Whether the body may carry context data, and so be large. */
  readonly takesData: boolean;
  /** Most bytes of the body, where it is another limit than those with and without data have. */
  readonly bodyLimit?: { readonly bytes: number; readonly code: ErrorCode };
  /** `If-None-Match`: a read that may answer 304; `If-Match`: a write, which takes both headers. */
  readonly precondition: 'If-Match' | 'If-None-Match' | null;
  /** Media types of what is not JSON but a stream, and never whole in memory. */
  readonly streams?: { readonly body?: string; readonly answer?: string };
  readonly answers: Readonly<Record<number, CallAnswer>>;
  readonly errors: readonly ErrorCode[];
  /** `file` names what a caller sends as a stream. */
  readonly example?: { readonly path?: string; readonly body?: unknown; readonly file?: string };
}

const NOTHING = z.strictObject({});
type Nothing = typeof NOTHING;

type Optional = 'params' | 'query' | 'body' | 'bodyIs' | 'takesData' | 'precondition';
type Draft<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType> = Omit<
  Call<P, Q, B>,
  Optional
> &
  Partial<Pick<Call<P, Q, B>, Optional>>;

/** Fills in what a call does not say: no parameters, no query, no body. */
export function defineCall<
  P extends z.ZodType = Nothing,
  Q extends z.ZodType = Nothing,
  B extends z.ZodType = Nothing,
>(draft: Draft<P, Q, B>): Call<P, Q, B> {
  const hasBody = draft.method !== 'get';
  const filled = {
    params: NOTHING,
    query: NOTHING,
    body: NOTHING,
    bodyIs: draft.body ? 'required' : hasBody ? 'optional' : 'none',
    takesData: false,
    precondition: null,
    ...draft,
  };
  // The defaults above are exactly the types the type parameters default to.
  return filled as unknown as Call<P, Q, B>;
}

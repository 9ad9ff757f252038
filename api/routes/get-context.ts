/** `GET /api/context/get/:key`: the current version through the cache, old ones from the store. */
import type { Request } from 'express';
import type { ContextCache, Loaded } from '../../cache/contract.ts';
import type { Caller, Context } from '../../domain/context.ts';
import { AppError } from '../../domain/errors.ts';
import type { ContextKey } from '../../domain/ids.ts';
import type { ContextStore } from '../../store/contract.ts';
import { CONTEXT_CALLS } from '../contract.ts';
import { selectFields } from '../fields.ts';
import { jsonText } from '../json/json-text.ts';
import { etagOf, isNotModified } from '../preconditions.ts';
import { route, type Route } from './route.ts';

export interface GetDeps {
  readonly contexts: Pick<ContextStore, 'get' | 'getVersion'>;
  /** Missing: every read asks the store. */
  readonly cache?: ContextCache | undefined;
}

export function getContext(deps: GetDeps): Route {
  return route(CONTEXT_CALLS.getContext, async ({ params, query, caller, req }) => {
    const found = await read(deps, {
      caller,
      key: params.key as ContextKey,
      version: query.version,
      asksSource: asksSource(req),
    });
    if (!found) throw new AppError('CONTEXT_NOT_FOUND', `There is no context \`${params.key}\`.`);
    const headers = { ETag: etagOf(found.version), 'X-Cache': found.from };
    if (isNotModified(req, found.version)) return { status: 304, headers };
    if (query.fields === undefined) return { status: 200, bytes: found.bytes, headers };
    const context = JSON.parse(found.bytes.toString()) as Context;
    return { status: 200, body: selectFields(context, query.fields), headers };
  });
}

interface Wanted {
  readonly caller: Caller;
  readonly key: ContextKey;
  readonly version: number | undefined;
  /** Whether the caller wants nothing that was kept. */
  readonly asksSource: boolean;
}

interface Read {
  readonly bytes: Buffer;
  readonly version: number;
  readonly from: string;
}

async function read({ contexts, cache }: GetDeps, wanted: Wanted): Promise<Read | null> {
  const { caller, key, version, asksSource } = wanted;
  const load = async (): Promise<Loaded | null> => {
    const context =
      version === undefined
        ? await contexts.get(caller, key)
        : await contexts.getVersion(caller, key, version);
    return context && cachedForm(context);
  };
  if (cache && version === undefined && !asksSource) {
    return cache.get({ tenant: caller.tenant, key }, load);
  }
  const loaded = await load();
  return loaded && { ...loaded, from: 'source' };
}

/** A context as the cache keeps it: the text that answers `get`. What is encrypted is not kept. */
export function cachedForm(context: Context): Loaded {
  return {
    bytes: Buffer.from(jsonText(context)),
    version: context.version,
    expiresAt: context.expiresAt === null ? null : Date.parse(context.expiresAt),
    isKept: !context.encrypted,
  };
}

/** RFC 9111, 5.2.1. */
const SOURCE_ONLY = /(^|,)\s*(no-cache|no-store|max-age=0)\s*(,|$)/i;

function asksSource(req: Request): boolean {
  const header = req.headers['cache-control'];
  return header !== undefined && SOURCE_ONLY.test(header);
}

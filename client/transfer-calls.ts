/** The client's `transfer`: export and import as streams, neither ever whole in memory. */
import type { ImportResult } from '../api/contract.ts';
import { SyncError } from './sync-error.ts';
import { errorOf, type TransportOptions } from './transport.ts';

export interface ExportOptions {
  readonly prefix?: string;
  /** Contexts that have all of them. */
  readonly tag?: readonly string[];
  /** Encrypted data in clear; needs the scope `admin`. */
  readonly decrypt?: boolean;
  /** Ends it. */
  readonly signal?: AbortSignal;
}

export interface ImportOptions {
  /** What wins over a context that is there; default `skip`. */
  readonly mode?: 'skip' | 'overwrite' | 'newer';
  /** Whether the body is compressed. */
  readonly isGzip?: boolean;
  readonly signal?: AbortSignal;
}

export interface TransferCalls {
  /** The bytes of an export: JSON lines. One that breaks off throws. @throws SyncError */
  export(options?: ExportOptions): Promise<ReadableStream<Uint8Array>>;
  /** Sends lines; broken ones are in the answer. May be repeated as it is. @throws SyncError */
  import(
    body: string | Uint8Array | Blob | ReadableStream<Uint8Array>,
    options?: ImportOptions,
  ): Promise<ImportResult>;
}

const LINES = 'application/x-ndjson';

/** Calls without a time-out: how long they take depends on how much there is. */
export function transferCalls(options: TransportOptions): TransferCalls {
  const { url, apiKey, fetch: send } = options;
  const base = `${url.replace(/\/+$/, '')}/api/context`;
  const allowed = apiKey === null ? {} : { authorization: `Bearer ${apiKey}` };

  async function ask(path: string, init: RequestInit): Promise<Response> {
    let response: Response;
    try {
      response = await send(base + path, init);
    } catch (cause) {
      if (init.signal?.aborted) throw cause;
      const facts = { code: 'UNREACHABLE', status: 0, cause } as const;
      throw new SyncError(`${url} cannot be reached.`, facts);
    }
    if (response.ok) return response;
    throw errorOf(response, await response.text());
  }

  return {
    async export({ prefix, tag = [], decrypt, signal } = {}) {
      const query = new URLSearchParams();
      for (const each of tag) query.append('tag', each);
      if (prefix !== undefined) query.set('prefix', prefix);
      if (decrypt) query.set('decrypt', 'true');
      const path = `/export?${query.toString()}`;
      const { body } = await ask(path, { headers: allowed, ...(signal && { signal }) });
      return body!;
    },
    async import(body, { mode = 'skip', isGzip = false, signal } = {}) {
      const response = await ask(`/import?mode=${mode}`, {
        method: 'POST',
        headers: {
          ...allowed,
          'content-type': LINES,
          ...(isGzip ? { 'content-encoding': 'gzip' } : {}),
        },
        body: body as NonNullable<RequestInit['body']>,
        // What fetch asks for before it sends a stream.
        ...({ duplex: 'half' } as object),
        ...(signal && { signal }),
      });
      return (await response.json()) as ImportResult;
    },
  };
}

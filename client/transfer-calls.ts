/** The client's `transfer`: export and import as streams, neither ever whole in memory. */
import type { ImportResult } from '../api/contract.ts';
import { closedError, type Closing } from './closing.ts';
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
export function transferCalls(options: TransportOptions, closing: Closing): TransferCalls {
  const { url, apiKey, fetch: send } = options;
  const base = `${url.replace(/\/+$/, '')}/api/context`;
  const allowed = apiKey === null ? {} : { authorization: `Bearer ${apiKey}` };

  async function ask(path: string, init: RequestInit, abort: Abort): Promise<Response> {
    let response: Response;
    try {
      response = await send(base + path, { ...init, signal: abort.signal });
    } catch (cause) {
      if (abort.signal.aborted) throw cause;
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
      const abort = createAbort(closing, signal);
      try {
        const { body } = await ask(path, { headers: allowed }, abort);
        return untilClosed(body!, abort);
      } catch (error) {
        throw abort.failed(error);
      }
    },
    async import(body, { mode = 'skip', isGzip = false, signal } = {}) {
      const headers = {
        ...allowed,
        'content-type': LINES,
        ...(isGzip ? { 'content-encoding': 'gzip' } : {}),
      };
      const sent = body as NonNullable<RequestInit['body']>;
      // What fetch asks for before it sends a stream.
      const init = { method: 'POST', headers, body: sent, ...({ duplex: 'half' } as object) };
      const abort = createAbort(closing, signal);
      try {
        const response = await ask(`/import?mode=${mode}`, init, abort);
        const result = (await response.json()) as ImportResult;
        abort.done();
        return result;
      } catch (error) {
        throw abort.failed(error);
      }
    },
  };
}

/** Ends one transfer with the client, or when its caller says so. */
interface Abort {
  readonly signal: AbortSignal;
  /** Listens no more. */
  done(): void;
  /** {@link done}, and what to throw for this error. */
  failed(error: unknown): unknown;
}

/** @throws SyncError when the client is closed */
function createAbort(closing: Closing, signal: AbortSignal | undefined): Abort {
  if (closing.isClosed()) throw closedError();
  const controller = new AbortController();
  const onSignal = (): void => controller.abort(signal?.reason);
  const stay = closing.onClose(() => controller.abort());
  // `AbortSignal.any` is younger than the Node and the browsers we promise.
  if (signal?.aborted) onSignal();
  else signal?.addEventListener('abort', onSignal, { once: true });
  const done = (): void => {
    stay();
    signal?.removeEventListener('abort', onSignal);
  };
  return {
    signal: controller.signal,
    done,
    failed(error) {
      done();
      const isClose = controller.signal.aborted && signal?.aborted !== true;
      return isClose ? closedError() : error;
    },
  };
}

/** The same bytes, read no sooner than they are asked for; {@link Abort.done} at the end. */
function untilClosed(body: ReadableStream<Uint8Array>, abort: Abort): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read();
          if (!done) {
            controller.enqueue(value);
            return;
          }
          abort.done();
          controller.close();
        } catch (error) {
          controller.error(abort.failed(error));
        }
      },
      cancel(reason) {
        abort.done();
        return reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
}

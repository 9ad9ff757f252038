/** Export and import as streams: neither is ever whole in memory, and each goes as fast as the slower side. */
import { createGunzip } from 'node:zlib';
import type { Request, Response } from 'express';
import type { Clock } from '../../domain/clock.ts';
import { AppError } from '../../domain/errors.ts';
import type { Exporter, Importer } from '../../store/contract.ts';
import { readImportLines } from '../import-lines.ts';
import { checkScope } from '../middleware/authenticate.ts';
import { maxDataBodyBytes } from '../middleware/json-body.ts';
import { splitLines } from '../ndjson.ts';
import { NDJSON, TRANSFER_CALLS } from '../schemas/transfer-calls.ts';
import { route, type Answer, type Route } from './route.ts';

export interface TransferDeps {
  readonly exporter: Exporter;
  readonly importer: Importer;
  readonly clock: Clock;
  readonly maxContextBytes: number;
  /** Bytes an import may have, unpacked. */
  readonly maxImportBytes: number;
}

/** An export whose reader takes nothing for so long is ended, ms: it keeps a connection. */
const STALLED_MS = 120_000;
/** What an import is called by those who make them; the first is ours. */
const LINE_TYPES: ReadonlySet<string> = new Set([
  NDJSON,
  'application/ndjson',
  'application/jsonl',
]);

/** The two calls. */
export function transferRoutes(deps: TransferDeps): readonly Route[] {
  return [
    route(TRANSFER_CALLS.exportContexts, ({ query, caller, req, res }) => {
      const { decrypt = false, ...filter } = query;
      if (decrypt) checkScope(res, 'admin');
      if (req.method === 'HEAD') return { status: 200, headers: { 'Content-Type': NDJSON } };
      return stream(res, (sink) => deps.exporter.export(caller, { ...filter, decrypt }, sink));
    }),
    route(TRANSFER_CALLS.importContexts, async ({ query, caller, req }) => {
      requireLines(req);
      const { maxImportBytes: maxBytes, maxContextBytes } = deps;
      if (Number(req.get('content-length') ?? 0) > maxBytes)
        throw new AppError('PAYLOAD_TOO_LARGE', `The body is larger than ${maxBytes} bytes.`);
      const limits = { maxBytes, maxLineBytes: maxDataBodyBytes(maxContextBytes) };
      const lines = splitLines(bytesOf(req), limits);
      const versions = readImportLines(lines, new Date(deps.clock.now()));
      return { status: 200, body: await deps.importer.import(caller, query.mode, versions) };
    }),
  ];
}

/** Answers with what `give` hands on, piece by piece; ends when the reader goes. */
async function stream(
  res: Response,
  give: (sink: (text: string) => Promise<void>) => Promise<unknown>,
): Promise<Answer> {
  res.setTimeout(STALLED_MS, () => res.destroy());
  try {
    await give(async (text) => {
      if (!res.headersSent) begin(res);
      await taken(res, text);
    });
    res.end();
  } catch (error) {
    if (!(error instanceof ReaderGone)) throw error;
  }
  return { status: 200 };
}

function begin(res: Response): void {
  res.status(200).setHeader('Content-Type', NDJSON);
  res.setHeader('Cache-Control', 'no-cache');
  res.setHeader('Content-Disposition', 'attachment; filename="contexts.ndjson"');
}

class ReaderGone extends Error {}

/** Resolves when the reader takes more. */
function taken(res: Response, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    if (res.destroyed) return reject(new ReaderGone());
    if (res.write(text)) return resolve();
    const onDrain = (): void => done(resolve);
    const onClose = (): void => done(() => reject(new ReaderGone()));
    function done(tell: () => void): void {
      res.off('drain', onDrain);
      res.off('close', onClose);
      tell();
    }
    res.once('drain', onDrain);
    res.once('close', onClose);
  });
}

function requireLines(req: Request): void {
  const type = (req.get('content-type') ?? '').split(';')[0]!.trim().toLowerCase();
  if (!LINE_TYPES.has(type))
    throw new AppError('UNSUPPORTED_MEDIA_TYPE', `Send the lines as \`${NDJSON}\`.`);
}

async function* bytesOf(req: Request): AsyncGenerator<Uint8Array> {
  try {
    yield* unpacked(req);
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    throw new AppError('INVALID_JSON', 'The body could not be read to its end.', { cause });
  }
}

function unpacked(req: Request): AsyncIterable<Uint8Array> {
  const encoding = (req.get('content-encoding') ?? 'identity').trim().toLowerCase();
  // The answer to a body that was not read to its end still goes over the same connection.
  if (encoding === 'identity') return req.iterator({ destroyOnReturn: false });
  if (encoding !== 'gzip')
    throw new AppError('UNSUPPORTED_MEDIA_TYPE', 'The content encoding is not supported.');
  const gunzip = createGunzip();
  req.once('close', () => req.complete || gunzip.destroy(new Error('the body broke off')));
  return req.pipe(gunzip);
}

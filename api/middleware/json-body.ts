/** Reads a call's JSON body: bounded, strict UTF-8, exact. Leaves `undefined` where there is none. */
import express, { type Request, type RequestHandler } from 'express';
import { AppError } from '../../domain/errors.ts';
import { MAX_DATA_DEPTH } from '../json/depth.ts';
import { readJson } from '../json/read-json.ts';
import type { Call } from '../call.ts';

const MIB = 1024 * 1024;
/** Bodies that carry no context data. */
const MAX_SMALL_BODY_BYTES = MIB;
/** `data` sits a few containers deep in a body; its own depth is judged by the schema. */
const MAX_BODY_DEPTH = MAX_DATA_DEPTH + 8;

/**
 * Wire bytes taken for a body with data of at most `maxContextBytes` of compact JSON: room for
 * white space and for every character escaped.
 */
export function maxDataBodyBytes(maxContextBytes: number): number {
  return Math.max(32 * MIB, 3 * maxContextBytes + MIB);
}

/** @throws AppError UNSUPPORTED_MEDIA_TYPE, PAYLOAD_TOO_LARGE, CONTEXT_TOO_LARGE, INVALID_JSON, … */
export function jsonBody(call: Call, maxContextBytes: number): RequestHandler {
  if (call.bodyIs === 'none') return (_req, _res, next) => next();
  const usual = call.takesData ? maxDataBodyBytes(maxContextBytes) : MAX_SMALL_BODY_BYTES;
  const limit = call.bodyLimit?.bytes ?? usual;
  const readBytes: RequestHandler = express.raw({ type: () => true, limit });
  return (req, res, next) => {
    if (!hasBody(req)) {
      req.body = undefined;
      next();
      return;
    }
    if (!isJsonType(req.get('content-type'))) {
      throw new AppError('UNSUPPORTED_MEDIA_TYPE', 'Send the body as `application/json`.');
    }
    readBytes(req, res, (fault: unknown) => {
      if (fault) return next(translate(fault, call, limit));
      const bytes: unknown = req.body;
      try {
        const isEmpty = !(bytes instanceof Uint8Array) || bytes.length === 0;
        req.body = isEmpty ? undefined : readJson(bytes, MAX_BODY_DEPTH);
      } catch (error) {
        return next(error);
      }
      next();
    });
  };
}

function hasBody(req: Request): boolean {
  const length = req.get('content-length');
  return req.get('transfer-encoding') !== undefined || (length !== undefined && length !== '0');
}

function isJsonType(header: string | undefined): boolean {
  const [type = '', ...parameters] = (header ?? '').toLowerCase().split(';');
  const isUtf8 = parameters.every((part) => {
    const [name = '', value = ''] = part.split('=');
    return name.trim() !== 'charset' || /^\s*"?utf-?8"?\s*$/.test(value);
  });
  return type.trim() === 'application/json' && isUtf8;
}

// Names of body-parser's faults: https://github.com/expressjs/body-parser#errors
function translate(fault: unknown, call: Call, limit: number): AppError {
  const type: unknown =
    typeof fault === 'object' && fault !== null && 'type' in fault ? fault.type : undefined;
  if (type === 'entity.too.large') {
    const usual = call.takesData ? 'CONTEXT_TOO_LARGE' : 'PAYLOAD_TOO_LARGE';
    const code = call.bodyLimit?.code ?? usual;
    return new AppError(code, `The body is larger than ${limit} bytes.`, { cause: fault });
  }
  if (type === 'encoding.unsupported') {
    const detail = 'The content encoding is not supported.';
    return new AppError('UNSUPPORTED_MEDIA_TYPE', detail, { cause: fault });
  }
  return new AppError('INVALID_JSON', 'The body could not be read to its end.', { cause: fault });
}

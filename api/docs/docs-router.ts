/**
 * Serves the OpenAPI document and the page made from it. Both are made once, at the start; only the
 * examples name the address by which the reader came.
 */
import { createHash } from 'node:crypto';
import { Router, type Request } from 'express';
import { plainGet } from '../middleware/plain-get.ts';
import { openApiDocument } from '../openapi.ts';
import { docsPage, EXAMPLE_BASE } from './docs-page.ts';
import { DOCS_CSS } from './docs-css.ts';

/** `GET /openapi.json` and `GET /docs`. */
export function docsRouter(version: string): Router {
  const document = openApiDocument(version);
  const json = Buffer.from(JSON.stringify(document, null, 2));
  const page = docsPage(document);
  // The page's one style sheet is allowed by its hash; nothing else is.
  const styleHash = createHash('sha256').update(DOCS_CSS).digest('base64');
  const policy = `default-src 'none'; style-src 'sha256-${styleHash}'; base-uri 'none'; frame-ancestors 'none'`;

  const router = Router();
  router.all(['/openapi.json', '/docs'], plainGet());
  router.get('/openapi.json', (_req, res) => {
    res.type('application/json').send(json);
  });
  router.get('/docs', (req, res) => {
    res.setHeader('Content-Security-Policy', policy);
    res.type('text/html').send(page.replaceAll(EXAMPLE_BASE, baseOf(req)));
  });
  return router;
}

/** A name or address with or without a port; anything else would not belong between quotes. */
const HOST = /^(?:[\w.-]+|\[[\da-fA-F:.]+\])(?::\d{1,5})?$/;

/** What a trusted proxy names is passed on as it came. */
const PROTOCOL = /^https?$/;

function baseOf(req: Request): string {
  const host = req.get('host') ?? '';
  const isPlain = HOST.test(host) && PROTOCOL.test(req.protocol);
  return isPlain ? `${req.protocol}://${host}` : EXAMPLE_BASE;
}

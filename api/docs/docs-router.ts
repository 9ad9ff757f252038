/** Serves the OpenAPI document and the page made from it. Both are made once, at the start. */
import { createHash } from 'node:crypto';
import { Router } from 'express';
import { AppError } from '../../domain/errors.ts';
import { openApiDocument } from '../openapi.ts';
import { docsPage } from './docs-page.ts';
import { DOCS_CSS } from './docs-css.ts';

/** `GET /openapi.json` and `GET /docs`. */
export function docsRouter(version: string): Router {
  const document = openApiDocument(version);
  const json = Buffer.from(JSON.stringify(document, null, 2));
  const page = Buffer.from(docsPage(document));
  // The page's one style sheet is allowed by its hash; nothing else is.
  const styleHash = createHash('sha256').update(DOCS_CSS).digest('base64');
  const policy = `default-src 'none'; style-src 'sha256-${styleHash}'; base-uri 'none'; frame-ancestors 'none'`;

  const router = Router();
  router.get('/openapi.json', (_req, res) => {
    res.type('application/json').send(json);
  });
  router.get('/docs', (_req, res) => {
    res.setHeader('Content-Security-Policy', policy);
    res.type('text/html').send(page);
  });
  router.all(['/openapi.json', '/docs'], (req, res) => {
    res.setHeader('Allow', 'GET, HEAD');
    throw new AppError('METHOD_NOT_ALLOWED', `${req.method} is not allowed here.`);
  });
  return router;
}

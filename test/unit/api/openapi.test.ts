import { describe, expect, it } from 'vitest';
import { CALLS } from '../../../api/contract.ts';
import { docsPage } from '../../../api/docs/docs-page.ts';
import { openApiDocument } from '../../../api/openapi.ts';

const document = openApiDocument('1.2.3');
const text = JSON.stringify(document);

describe('the OpenAPI document', () => {
  it('is 3.1 and holds every call, each once', () => {
    expect(document.openapi).toBe('3.1.0');
    const ids = Object.values(document.paths ?? {}).flatMap((item) =>
      Object.values(item as Record<string, { operationId?: string }>).map((op) => op.operationId),
    );
    expect(ids.toSorted()).toEqual(CALLS.map((call) => call.id).toSorted());
  });

  it('refers only to schemas it holds', () => {
    const names = [...text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map((match) => match[1]);
    expect(names.length).toBeGreaterThan(10);
    for (const name of names) expect(document.components?.schemas).toHaveProperty(name ?? '');
  });

  it('says that bodies and options are closed', () => {
    const body = document.components?.schemas?.['StoreOptions'] as Record<string, unknown>;
    expect(body['additionalProperties']).toBe(false);
  });

  it('calls nothing readOnly, which generated clients would not send', () => {
    expect(text).not.toContain('"readOnly"');
  });

  it('says of a repeated parameter only that it is an array', () => {
    const { get } = document.paths?.['/api/context/list'] as {
      get: { parameters: { name: string; schema: object }[] };
    };
    const tag = get.parameters.find(({ name }) => name === 'tag')?.schema;
    expect(tag).toMatchObject({ type: 'array', items: { type: 'string' } });
    expect(tag).not.toHaveProperty('anyOf');
  });

  it('names the headers a write takes and answers', () => {
    const { post } = document.paths?.['/api/context/store'] as {
      post: {
        parameters: { name: string; in: string }[];
        responses: Record<string, { headers?: object }>;
      };
    };
    const headers = post.parameters.filter((each) => each.in === 'header').map(({ name }) => name);
    expect(headers).toEqual(['If-Match', 'If-None-Match', 'Idempotency-Key']);
    expect(Object.keys(post.responses['201']?.headers ?? {})).toEqual(['ETag', 'Location']);
  });

  it('gives each call its parameters', () => {
    const get = document.paths?.['/api/context/list'] as {
      get: { parameters: { name: string }[] };
    };
    expect(get.get.parameters.map((each) => each.name)).toEqual([
      'prefix',
      'tag',
      'sessionId',
      'agentId',
      'parent',
      'source',
      'limit',
      'cursor',
    ]);
  });
});

describe('the docs page', () => {
  const page = docsPage(document);

  it('has a section for every call with an example, and an anchor for every error code', () => {
    for (const call of CALLS) expect(page).toContain(`id="${call.id}"`);
    expect(page.match(/<code>curl /g)).toHaveLength(CALLS.length);
    const anchors = new Set([...page.matchAll(/ id="([^"]+)"/g)].map((match) => match[1]));
    for (const match of page.matchAll(/href="#([^"]+)"/g)) expect(anchors).toContain(match[1]);
  });

  it('sends in each example a body of the type the call takes, if it takes one', () => {
    for (const call of CALLS) {
      const section = page.slice(page.indexOf(`id="${call.id}"`)).split('</section>', 1)[0];
      const sent = /Content-Type: ([\w/+-]+)&#39;/.exec(section ?? '')?.[1];
      const body = call.example?.body === undefined ? undefined : 'application/json';
      expect([call.id, sent]).toEqual([call.id, call.streams?.body ?? body]);
    }
    expect(page).toContain(
      'mode=newer&#39; \\\n  -H &#39;Content-Type: application/x-ndjson&#39; \\\n  --data-binary @contexts.ndjson',
    );
  });

  it('names what is no call, too: the WebSocket and the metrics', () => {
    for (const path of ['/context-ws', '/metrics']) expect(page).toContain(`<code>${path}</code>`);
    expect(page).toContain('href="#besides"');
  });

  it('runs no script and loads nothing', () => {
    expect(/<script|<img|<link|src=| style="| on\w+="/.test(page)).toBe(false);
  });
});

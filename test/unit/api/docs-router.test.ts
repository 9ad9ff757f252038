import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiServer } from '../../../api/server.ts';
import type { TenantId } from '../../../domain/ids.ts';
import { startTestApi, testApiDeps } from '../../support/api-under-test.ts';
import { createStoreDouble } from '../../support/store-double.ts';

let server: ApiServer;
beforeAll(async () => {
  // With keys on, any name of the server is fine.
  const lookup = async () => ({ tenant: 'default' as TenantId, name: 'key', scopes: [] });
  const auth = { mode: 'keys' as const, lookup };
  server = await startTestApi(testApiDeps(createStoreDouble(), { auth, trustProxy: 1 }));
});
afterAll(() => server.stop(1000));

/** The addresses that the examples of the page call. */
async function basesFor(host?: string, proto?: string): Promise<ReadonlySet<string>> {
  const page = await pageFor({
    ...(host !== undefined && { host }),
    ...(proto !== undefined && { 'x-forwarded-proto': proto }),
  });
  const urls = [...page.matchAll(/<code>curl .*?&#39;(.*?:\/\/[^/]*)\//g)];
  return new Set(urls.map(([, base]) => base!));
}

function pageFor(headers: Record<string, string>): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request(`${server.url}/api/context/docs`, { headers }, (answer) => {
      let page = '';
      answer.on('data', (text: Buffer) => (page += text.toString('utf8')));
      answer.on('end', () => resolve(page));
    });
    asked.on('error', reject).end();
  });
}

describe('the examples of the docs page', () => {
  it('call the port the server listens on', async () => {
    expect(new URL(server.url).port).not.toBe('3100');
    expect([...(await basesFor())]).toEqual([server.url]);
  });

  it('call the name by which the reader came, through a balancer, say', async () => {
    expect([...(await basesFor('syncline.example.com'))]).toEqual(['http://syncline.example.com']);
  });

  it('name nothing that could leave its quotes', async () => {
    for (const odd of ["a'$(id)", 'a"b', 'a/b', 'a:b'])
      expect([...(await basesFor(odd))]).toEqual(['http://127.0.0.1:3100']);
  });

  it('call the protocol a trusted proxy names, if it is one of the web', async () => {
    expect([...(await basesFor('a.example', 'https'))]).toEqual(['https://a.example']);
    for (const odd of ['<script>x</script>', "http'", 'ftp', 'javascript'])
      expect([...(await basesFor('a.example', odd))]).toEqual(['http://127.0.0.1:3100']);
  });
});

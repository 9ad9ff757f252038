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
  server = await startTestApi(testApiDeps(createStoreDouble(), { auth }));
});
afterAll(() => server.stop(1000));

/** The addresses that the examples of the page call. */
function basesFor(host?: string): Promise<ReadonlySet<string>> {
  return new Promise((resolve, reject) => {
    const headers = host === undefined ? {} : { host };
    const asked = request(`${server.url}/api/context/docs`, { headers }, (answer) => {
      let page = '';
      answer.on('data', (text: Buffer) => (page += text.toString('utf8')));
      answer.on('end', () => {
        const urls = [...page.matchAll(/<code>curl [^<]*?(https?:\/\/[^/]*)\//g)];
        resolve(new Set(urls.map(([, base]) => base!)));
      });
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
});

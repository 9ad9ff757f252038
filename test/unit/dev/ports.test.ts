import { once } from 'node:events';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { choosePort, isPortFree } from '../../../dev/ports.ts';

const servers: Server[] = [];

async function occupy(): Promise<number> {
  const server = createServer();
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

describe('choosing a port', () => {
  it('takes the preferred one when it is free', async () => {
    const port = await choosePort(0);
    expect(await choosePort(port)).toBe(port);
  });

  it('takes another one when the preferred one is in use', async () => {
    const taken = await occupy();
    expect(await isPortFree(taken)).toBe(false);
    const port = await choosePort(taken);
    expect(port).not.toBe(taken);
    expect(await isPortFree(port)).toBe(true);
  });

  it('looks at the second port too where one is needed', async () => {
    const taken = await occupy();
    expect(await isPortFree(taken - 10, 10)).toBe(false);
    expect(await choosePort(taken - 10, 10)).not.toBe(taken - 10);
  });
});

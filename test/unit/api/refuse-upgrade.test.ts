import { createServer } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { Duplex } from 'node:stream';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { refuseUpgrade } from '../../../api/websocket/refuse-upgrade.ts';
import { AppError } from '../../../domain/errors.ts';

const REFUSAL = new AppError('UNAUTHENTICATED', 'The request has no api key.');
const UPGRADE =
  'GET /context-ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';

afterEach(() => void vi.useRealTimers());

describe('a refused upgrade', () => {
  it('is closed on our side though the peer, having read all, keeps it half open', async () => {
    const server = createServer();
    server.on('upgrade', (_req, socket) => refuseUpgrade(socket, REFUSAL, 'r1'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const peer = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    let answer = '';
    peer.on('data', (chunk: Buffer) => (answer += chunk.toString()));
    const ended = new Promise((resolve) => peer.once('end', resolve));
    peer.write(UPGRADE);
    await ended;
    expect(answer).toMatch(/^HTTP\/1\.1 401 /);
    expect(answer).toContain('"UNAUTHENTICATED"');
    const count = promisify(server.getConnections.bind(server));
    await vi.waitFor(async () => expect(await count()).toBe(0));
    peer.destroy();
    await new Promise((resolve) => server.close(resolve));
  });

  it('is destroyed after two seconds when the peer does not read', () => {
    vi.useFakeTimers();
    const deaf = new Duplex({ read: () => undefined, write: () => undefined });
    refuseUpgrade(deaf, REFUSAL, 'r1');
    vi.advanceTimersByTime(1999);
    expect(deaf.destroyed).toBe(false);
    vi.advanceTimersByTime(1);
    expect(deaf.destroyed).toBe(true);
  });
});

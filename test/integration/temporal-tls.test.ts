/** Temporal behind TLS: with an authority of one's own, under another name, and with a client certificate. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NativeConnection } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig, type Config } from '../../main/config.ts';
import { openTemporal, temporalAccess } from '../../main/temporal-connection.ts';
import { testTemporal } from '../support/servers.ts';
import {
  makeAuthority,
  openTlsDoor,
  type Authority,
  type Certificate,
  type TlsDoor,
} from '../support/tls-door.ts';

const CALL_MS = 5_000;

let folder: string;
let authority: Authority;
let server: Certificate;
let client: Certificate;
let door: TlsDoor;
let mutual: TlsDoor;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'syncline-tls-'));
  authority = makeAuthority(folder);
  server = authority.issue('server', ['IP:127.0.0.1']);
  client = authority.issue('client', ['DNS:worker']);
  const target = Number(testTemporal().address.split(':')[1]);
  door = await openTlsDoor(target, server);
  mutual = await openTlsDoor(target, server, authority);
});
afterAll(async () => {
  await Promise.all([door.close(), mutual.close()]);
  rmSync(folder, { recursive: true, force: true });
});

function temporal(env: Readonly<Record<string, string>>, through = door): Config['temporal'] {
  const file = join(folder, 'context.yaml');
  writeFileSync(file, '');
  return loadConfig({ TEMPORAL_ADDRESS: `127.0.0.1:${through.port}`, ...env }, file).temporal;
}

/** The server's version, as the API's connection hears it. */
async function askAsClient(where: Config['temporal']): Promise<string> {
  const opened = openTemporal(where);
  try {
    const { serverVersion } = await opened.connection.withDeadline(Date.now() + CALL_MS, () =>
      opened.connection.workflowService.getSystemInfo({}),
    );
    return serverVersion;
  } finally {
    await opened.close();
  }
}

/** The same as a worker's connection hears it. */
async function askAsWorker(where: Config['temporal']): Promise<string> {
  const connection = await NativeConnection.connect(temporalAccess(where));
  try {
    return (await connection.workflowService.getSystemInfo({})).serverVersion;
  } finally {
    await connection.close();
  }
}

const CA = 'TEMPORAL_TLS_SERVER_CA_CERT_PATH';

describe('a Temporal behind TLS', { timeout: 60_000 }, () => {
  it('is reached by clients and workers that know its authority', async () => {
    const where = temporal({ [CA]: authority.ca });
    const before = door.connections();
    expect(await askAsClient(where)).toMatch(/^\d+\./);
    expect(await askAsWorker(where)).toMatch(/^\d+\./);
    expect(door.connections() - before).toBe(2);
  });

  it('is not trusted when nobody we know vouches for it, and not spoken to in clear', async () => {
    for (const env of [{ TEMPORAL_TLS: 'true' }, {}]) {
      await expect(askAsClient(temporal(env))).rejects.toThrow();
      await expect(askAsWorker(temporal(env))).rejects.toThrow();
    }
    const stranger = makeAuthority(folder, 'stranger');
    await expect(askAsClient(temporal({ [CA]: stranger.ca }))).rejects.toThrow();
  });

  it('must have a certificate for its address, or for the name it is said to have', async () => {
    const target = Number(testTemporal().address.split(':')[1]);
    const named = await openTlsDoor(target, authority.issue('named', ['DNS:temporal.internal']));
    try {
      const env = { [CA]: authority.ca };
      await expect(askAsClient(temporal(env, named))).rejects.toThrow();
      const where = temporal({ ...env, TEMPORAL_TLS_SERVER_NAME: 'temporal.internal' }, named);
      expect(await askAsClient(where)).toMatch(/^\d+\./);
      expect(await askAsWorker(where)).toMatch(/^\d+\./);
    } finally {
      await named.close();
    }
  });

  it('that wants a certificate of ours gets it, and lets nobody in without', async () => {
    const env = { [CA]: authority.ca };
    await expect(askAsClient(temporal(env, mutual))).rejects.toThrow();
    await expect(askAsWorker(temporal(env, mutual))).rejects.toThrow();
    const where = temporal(
      {
        ...env,
        TEMPORAL_TLS_CLIENT_CERT_PATH: client.cert,
        TEMPORAL_TLS_CLIENT_KEY_PATH: client.key,
      },
      mutual,
    );
    expect(await askAsClient(where)).toMatch(/^\d+\./);
    expect(await askAsWorker(where)).toMatch(/^\d+\./);
  });
});

/** A door before a server that speaks TLS outside and nothing inside, with certificates made for it. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createServer, type TLSSocket } from 'node:tls';

/** Paths of PEM files. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

export interface Authority {
  /** PEM file of the authority itself. */
  readonly ca: string;
  /** A certificate for these names (`DNS:…`, `IP:…`), signed by it. */
  issue(name: string, subjects: readonly string[]): Certificate;
}

const openssl = (...args: readonly string[]): void =>
  void execFileSync('openssl', [...args], { stdio: ['ignore', 'ignore', 'pipe'] });
const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** Makes an authority whose files lie in `folder`; needs `openssl` on the PATH. */
export function makeAuthority(folder: string, name = 'authority'): Authority {
  const path = (file: string): string => join(folder, `${name}-${file}`);
  const [ca, caKey] = [path('ca.pem'), path('ca.key')];
  openssl(
    ...['req', '-x509', ...NEW_KEY, '-days', '2', '-subj', `/CN=${name}`],
    ...['-keyout', caKey, '-out', ca],
  );
  return {
    ca,
    issue(whom, subjects) {
      const [cert, key, request] = [path(`${whom}.pem`), path(`${whom}.key`), path(`${whom}.csr`)];
      const extensions = path(`${whom}.ext`);
      writeFileSync(extensions, `subjectAltName=${subjects.join(',')}\n`);
      openssl('req', ...NEW_KEY, '-subj', `/CN=${whom}`, '-keyout', key, '-out', request);
      openssl(
        ...['x509', '-req', '-in', request, '-CA', ca, '-CAkey', caKey, '-CAcreateserial'],
        ...['-days', '2', '-extfile', extensions, '-out', cert],
      );
      return { cert, key };
    },
  };
}

export interface TlsDoor {
  readonly port: number;
  /** Connections that got through the handshake. */
  connections(): number;
  close(): Promise<void>;
}

/** Opens it to a port of this machine; `clients`: only those with a certificate of this authority. */
export async function openTlsDoor(
  target: number,
  own: Certificate,
  clients: Authority | null = null,
): Promise<TlsDoor> {
  const open = new Set<TLSSocket>();
  let made = 0;
  const server = createServer(
    {
      cert: readFileSync(own.cert),
      key: readFileSync(own.key),
      // What gRPC speaks.
      ALPNProtocols: ['h2'],
      ...(clients
        ? { ca: readFileSync(clients.ca), requestCert: true, rejectUnauthorized: true }
        : {}),
    },
    (outer) => {
      made += 1;
      open.add(outer);
      const inner = connect(target, '127.0.0.1');
      const end = (): void => {
        open.delete(outer);
        inner.destroy();
        outer.destroy();
      };
      for (const socket of [inner, outer]) socket.on('error', end).on('close', end);
      outer.pipe(inner).pipe(outer);
    },
  );
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => made,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of open) socket.destroy();
      }),
  };
}

/** The client's connection to Temporal: made when it is first needed, so a process starts without it. */
import { readFileSync } from 'node:fs';
import {
  Connection,
  defaultGrpcRetryOptions,
  makeGrpcRetryInterceptor,
  type TLSConfig,
} from '@temporalio/client';
import { AppError, messageOf } from '../domain/errors.ts';
import type { Config, TemporalTls } from './config.ts';

export interface TemporalConnection {
  readonly connection: Connection;
  close(): Promise<void>;
}

/** Where Temporal is and how to get in; the same for the client and for workers. */
export interface TemporalAccess {
  readonly address: string;
  readonly apiKey?: string;
  readonly tls?: TLSConfig;
}

/** @throws AppError CONFIG_INVALID when a file of certificates cannot be read */
export function temporalAccess({
  address,
  apiKey,
  tls,
}: Pick<Config['temporal'], 'address' | 'apiKey' | 'tls'>): TemporalAccess {
  return {
    address: address ?? '',
    ...(apiKey ? { apiKey: apiKey.reveal() } : {}),
    ...(tls ? { tls: readTls(tls) } : {}),
  };
}

function readTls({ caFile, certFile, keyFile, serverName }: TemporalTls): TLSConfig {
  return {
    ...(serverName ? { serverNameOverride: serverName } : {}),
    ...(caFile ? { serverRootCACertificate: readPem(caFile, 'ca_file') } : {}),
    ...(certFile && keyFile
      ? {
          clientCertPair: {
            crt: readPem(certFile, 'cert_file'),
            key: readPem(keyFile, 'key_file'),
          },
        }
      : {}),
  };
}

function readPem(file: string, setting: string): Buffer {
  try {
    const pem = readFileSync(file);
    if (pem.includes('-----BEGIN ')) return pem;
  } catch (cause) {
    const detail = `temporal.tls.${setting}: ${file} cannot be read: ${messageOf(cause)}`;
    throw new AppError('CONFIG_INVALID', detail, { cause });
  }
  throw new AppError('CONFIG_INVALID', `temporal.tls.${setting}: ${file} is not PEM`);
}

/**
 * Opens nothing yet; calls while Temporal is out fail after a few seconds of retries.
 * @throws AppError CONFIG_INVALID when a file of certificates cannot be read
 */
export function openTemporal(where: Parameters<typeof temporalAccess>[0]): TemporalConnection {
  const usual = defaultGrpcRetryOptions();
  let isClosing = false;
  let nextRetryAt = 0;
  const retries = makeGrpcRetryInterceptor({
    retryableDecider: (attempt, status) => !isClosing && usual.retryableDecider(attempt, status),
    delayFunction(attempt, status) {
      const delayMs = usual.delayFunction(attempt, status);
      nextRetryAt = Math.max(nextRetryAt, performance.now() + delayMs);
      return delayMs;
    },
  });
  const connection = Connection.lazy({ ...temporalAccess(where), interceptors: [retries] });
  return {
    connection,
    async close() {
      isClosing = true;
      // A retry that finds its channel closed throws out of a timer, which would end the process.
      const restMs = nextRetryAt - performance.now();
      if (restMs > 0) await new Promise((resolve) => setTimeout(resolve, restMs + SLACK_MS));
      await connection.close();
    },
  };
}

/** Timers are not exact, ms. */
const SLACK_MS = 50;

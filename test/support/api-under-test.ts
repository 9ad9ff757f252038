/** A listening API for tests, and a caller that proves every answer against the contract. */
import { pino } from 'pino';
import { createApi } from '../../api/app.ts';
import {
  CALLS,
  problemSchema,
  type ApiDeps,
  type ConnectorCatalog,
  type DoctorReport,
} from '../../api/contract.ts';
import { startApiServer, type ApiServer } from '../../api/server.ts';
import { createContextSocket } from '../../api/websocket/context-socket.ts';
import type { SocketLimits } from '../../api/websocket/limits.ts';
import { AppError } from '../../domain/errors.ts';
import { systemClock } from '../../domain/clock.ts';
import type { Store } from '../../store/contract.ts';

/** A catalogue of one connector, `files`, whose config needs a `root` under /allowed. */
export const testConnectors: ConnectorCatalog = {
  list: () => [
    {
      kind: 'files',
      title: 'Files',
      configSchema: { type: 'object' },
      capabilities: { grade: 'C', canWatch: true },
      grade: 'C',
      guarantee: 'Writes of others between our read and our write may be lost.',
    },
  ],
  check: (kind, config) => {
    if (kind !== 'files') {
      const errors = [{ pointer: '/connector', detail: 'is unknown' }];
      throw new AppError('VALIDATION', `There is no connector \`${kind}\`.`, { errors });
    }
    if (typeof config['root'] !== 'string' || !config['root'].startsWith('/allowed')) {
      throw new AppError('CONNECTOR_NOT_ALLOWED', 'That folder is not allowed.');
    }
  },
  checkScope: () => undefined,
};

const SERVER_UP = { status: 'up', version: '1', latencyMs: 1, skewMs: 0 } as const;

/** What a doctor says who finds nothing. */
export const HEALTHY: DoctorReport = {
  healthy: true,
  checkedAt: '2026-11-01T00:00:00.000Z',
  tookMs: 1,
  servers: { postgres: SERVER_UP, redis: SERVER_UP, temporal: SERVER_UP },
  links: 0,
  outbox: { waiting: 0, oldestMs: 0 },
  findings: [],
  repairs: [],
};

/** Dependencies with keys off, no rate limit, all servers up; override what a test is about. */
export function testApiDeps(store: Store, overrides: Partial<ApiDeps> = {}): ApiDeps {
  const up = async (): Promise<void> => undefined;
  return {
    store,
    connectors: testConnectors,
    doctor: { examine: async () => HEALTHY, repair: async () => HEALTHY },
    checks: { postgres: up, redis: up, temporal: up, queues: up },
    temporalUrl: (workflowId) => `http://temporal.test/${workflowId}`,
    waitForChange: (_tenant, timeoutMs, signal) => waitFor(timeoutMs, signal),
    waitForSettling: (_tenant, timeoutMs, signal) => waitFor(timeoutMs, signal),
    log: pino({ level: 'silent' }),
    clock: systemClock,
    auth: { mode: 'off' },
    limits: {
      maxContextBytes: 10 * 1024 * 1024,
      rateLimit: { enabled: false, max: 1000, windowMs: 60_000 },
    },
    version: '0.0.0-test',
    ...overrides,
  };
}

function waitFor(timeoutMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(end, timeoutMs);
    signal.addEventListener('abort', end, { once: true });
    function end(): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    }
  });
}

/** Starts the API, with its WebSocket, on a free port. */
export async function startTestApi(
  deps: ApiDeps,
  socketLimits: Partial<SocketLimits> = {},
): Promise<ApiServer> {
  const app = createApi(deps);
  const websocket = createContextSocket(app, { ...deps, socketLimits });
  return startApiServer({ app, websocket, host: '127.0.0.1', port: 0, log: deps.log });
}

export interface TestAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The parsed body; tests look into it freely. */
  readonly body: Readonly<Record<string, unknown>>;
}

export interface TestRequest {
  /** Sent as it is when a string, else as JSON. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Calls the API and checks that the answer has the shape the contract gives it. */
export async function callApi(
  url: string,
  target: string,
  request: TestRequest = {},
): Promise<TestAnswer> {
  const [method = 'GET', path = '/'] = target.split(' ');
  const { body, headers } = request;
  const sent = typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body);
  const response = await fetch(url + path, {
    method,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: sent as string }),
    redirect: 'manual',
  });
  const text = await response.text();
  const answer = {
    status: response.status,
    headers: response.headers,
    text,
    body: text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : {},
  };
  proveShape(method, path, answer);
  return answer;
}

function proveShape(method: string, path: string, answer: TestAnswer): void {
  const type = answer.headers.get('content-type') ?? '';
  if (type.startsWith('application/problem+json')) {
    problemSchema.parse(answer.body);
    return;
  }
  const target = path.split('?', 1)[0] ?? path;
  const call = CALLS.find(
    (each) =>
      each.method === method.toLowerCase() &&
      new RegExp(`^${each.path.replace(/\{\w+\}/g, '[^/]+')}$`).test(target),
  );
  if (!call || path.includes('fields=')) return;
  const expected = call.answers[answer.status];
  if (!expected) throw new Error(`${target} may not answer ${answer.status}: ${answer.text}`);
  expected.schema?.parse(answer.body);
}

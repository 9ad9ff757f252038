/** A remote in a process of its own, so that the memory of ours is the worker's alone. */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { AnyConnectorType, Connector, ConnectorCapabilities } from '../connectors/contract.ts';
import { AppError } from '../domain/errors.ts';
import type { FarAnswer, FarMethod, FarRequest } from './far-protocol.ts';

const BOOTSTRAP = fileURLToPath(new URL('../dev/bootstrap.mjs', import.meta.url));

export interface FarRemote {
  /** Opens it under the kind `far`, whatever the configuration. */
  readonly type: AnyConnectorType;
  /** Writes the items `from` up to `to`, every `step`th. */
  put(given: { from: number; to: number; step: number; wording: string }): Promise<void>;
  stop(): Promise<void>;
}

/** Starts the process; answers once it is ready. */
export async function startFarRemote(): Promise<FarRemote> {
  const child = fork(BOOTSTRAP, ['--run', 'bench/far-process.ts'], { serialization: 'advanced' });
  const waiting = new Map<number, (answer: FarAnswer) => void>();
  child.on('message', (message) => {
    const answer = message as FarAnswer;
    waiting.get(answer.id)?.(answer);
    waiting.delete(answer.id);
  });
  const answerOf = (id: number): Promise<FarAnswer> =>
    new Promise((resolve) => waiting.set(id, resolve));
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => {
      for (const [id, tell] of waiting) tell({ id, error: 'the far process has ended' });
      resolve();
    });
  });
  const { capabilities } = await answerOf(0);
  let last = 0;

  async function call(name: FarRequest['call'], given: unknown): Promise<unknown> {
    const id = (last += 1);
    const told = answerOf(id);
    child.send({ id, call: name, given });
    const { answer, error } = await told;
    if (error !== undefined) throw new AppError('CONNECTOR_UNREACHABLE', error);
    return answer;
  }

  return {
    type: typeOver(capabilities!, call),
    async put(given) {
      await call('put', given);
    },
    async stop() {
      child.disconnect();
      await ended;
    },
  };
}

function typeOver(
  capabilities: ConnectorCapabilities,
  call: (name: FarMethod, given: unknown) => Promise<unknown>,
): AnyConnectorType {
  const connector: Connector = {
    capabilities,
    probe: () => Promise.resolve(),
    observe: ({ since, page }) =>
      call('observe', { since, page }) as ReturnType<Connector['observe']>,
    read: (ids) => call('read', ids) as ReturnType<Connector['read']>,
    apply: (ops) => call('apply', ops) as ReturnType<Connector['apply']>,
    close: () => Promise.resolve(),
  };
  return {
    kind: 'far',
    title: 'A remote in another process',
    configSchema: z.strictObject({}),
    capabilities,
    version: 1,
    checkAllowed: () => undefined,
    open: () => Promise.resolve(connector),
  };
}

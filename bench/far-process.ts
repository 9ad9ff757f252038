/** The far side of `sync-scale`, alone in its process: a grade-A remote in memory, called over IPC. */
import { createFakeRemote } from '../connectors/fake/fake-remote.ts';
import type { ObserveRequest, RemoteOp } from '../connectors/contract.ts';
import type { RemoteId } from '../domain/ids.ts';
import { messageOf } from '../domain/errors.ts';
import { benchItem } from './bench-item.ts';
import type { FarAnswer, FarRequest } from './far-protocol.ts';

const remote = createFakeRemote({ grade: 'A' });
const connector = remote.connect();
const life = new AbortController();

async function answerTo(request: FarRequest): Promise<unknown> {
  switch (request.call) {
    case 'observe': {
      const wanted = request.given as Omit<ObserveRequest, 'signal'>;
      return connector.observe({ ...wanted, signal: life.signal });
    }
    case 'read':
      return connector.read(request.given as RemoteId[], life.signal);
    case 'apply':
      return connector.apply(request.given as RemoteOp[], life.signal);
    case 'put': {
      const { from, to, step, wording } = request.given;
      for (let nth = from; nth < to; nth += step) remote.put(benchItem(nth, wording));
      return null;
    }
  }
}

function send(answer: FarAnswer): void {
  process.send?.(answer);
}

process.on('message', (message) => {
  const request = message as FarRequest;
  answerTo(request).then(
    (answer) => send({ id: request.id, answer }),
    (error: unknown) => send({ id: request.id, error: messageOf(error) }),
  );
});
process.on('disconnect', () => process.exit(0));
send({ id: 0, capabilities: remote.capabilities });

/** Fake remotes as a kind of connector, so that links, workflows and benches can open them. */
import { z } from 'zod';
import { AppError } from '../../domain/errors.ts';
import type { ConnectorType } from '../connector.ts';
import type { FakeRemote } from './fake-remote.ts';

const fakeConfigSchema = z.strictObject({ remote: z.string().min(1) });
/** Names one of the remotes the type was made with. */
export type FakeConfig = z.infer<typeof fakeConfigSchema>;

/**
 * A connector type over remotes of one grade, config `{remote: name}`. Remotes added to the map
 * later can be opened too.
 *
 * @param kind `fake` unless told; give each grade its own
 */
export function createFakeType(
  remotes: ReadonlyMap<string, FakeRemote>,
  kind = 'fake',
): ConnectorType<FakeConfig> {
  const [first] = remotes.values();
  if (!first) throw new AppError('VALIDATION', 'A fake connector type needs at least one remote.');
  return {
    kind,
    title: `Fake remote, grade ${first.capabilities.grade}`,
    configSchema: fakeConfigSchema,
    capabilities: first.capabilities,
    version: 1,
    checkAllowed: () => undefined,
    open: async ({ remote }) => {
      const found = remotes.get(remote);
      if (found) return found.connect();
      throw new AppError('CONNECTOR_UNREACHABLE', `There is no fake remote "${remote}".`);
    },
  };
}

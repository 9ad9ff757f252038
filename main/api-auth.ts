/**
 * Who may call this API: with keys on there is always a way in (the configured root key, or one made
 * at the first start and shown once), and no look-up costs more than it must.
 */
import { createKeyLookup } from '../api/middleware/key-lookup.ts';
import { newApiKey } from '../api/new-api-key.ts';
import { SCOPES, type ApiDeps, type Scope } from '../api/contract.ts';
import { systemClock } from '../domain/clock.ts';
import type { TenantId } from '../domain/ids.ts';
import type { Config } from './config.ts';
import type { Services } from './services.ts';

const DEFAULT_TENANT = 'default' as TenantId;
/** `root` first: it is what makes a key a way in. */
const ROOT_SCOPES: readonly Scope[] = ['root', 'admin', 'sync', 'write', 'read'];

type AuthDeps = Pick<Services, 'store' | 'log'> & { readonly config: Pick<Config, 'auth'> };

/**
 * @param show shows a new root key to whoever started the server; it is kept nowhere
 * @throws AppError UNAVAILABLE
 */
export async function authOf(
  services: AuthDeps,
  show: (text: string) => void = (text) => void process.stdout.write(text),
): Promise<ApiDeps['auth']> {
  const { config, store } = services;
  if (config.auth.mode === 'off') return { mode: 'off' };
  await store.ping();
  await openADoor(services, show);
  const lookup = createKeyLookup({
    clock: systemClock,
    async lookup(key) {
      const owner = await store.keys.lookup(key);
      return owner && { ...owner, scopes: SCOPES.filter((scope) => owner.scopes.includes(scope)) };
    },
  });
  return { mode: 'keys', lookup };
}

async function openADoor(
  { config, store, log }: AuthDeps,
  show: (text: string) => void,
): Promise<void> {
  const owner = { id: crypto.randomUUID(), tenant: DEFAULT_TENANT, scopes: ROOT_SCOPES };
  const configured = config.auth.rootKey?.reveal();
  if (configured !== undefined) {
    const named = { ...owner, name: 'root (configured)' };
    if (await store.keys.ensureConfigured(configured, named))
      log.info('the configured root key is in place');
    else log.warn('CONTEXT_ROOT_KEY names a key that was revoked; it opens nothing');
    return;
  }
  const made = newApiKey();
  if (await store.keys.ensureFirst(made, { ...owner, name: 'root' }))
    show(`\n  API key (shown this once): ${made}\n\n`);
}

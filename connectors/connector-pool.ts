/**
 * Open conversations with remotes, one per link, kept while the link is in use: opening one may
 * mean starting a process. A conversation that broke is closed and opened anew at the next call.
 */
import type { Connector, ConnectorLog, ConnectorPermissions, ConnectorType } from './connector.ts';
import { AppError, messageOf } from '../domain/errors.ts';
import type { TenantId } from '../domain/ids.ts';
import type { Link } from '../domain/link.ts';

export interface ConnectorPoolDeps {
  readonly typeOf: (kind: string) => ConnectorType;
  readonly permissions: ConnectorPermissions;
  readonly secret: (name: string) => string;
  readonly log: ConnectorLog;
}

export interface ConnectorPool {
  /** @throws AppError CONNECTOR_NOT_ALLOWED, CONNECTOR_UNREACHABLE */
  get(tenant: TenantId, link: Link): Promise<Connector>;
  typeOf(kind: string): ConnectorType;
  /** Closes one link's conversation, e.g. after it failed. */
  drop(tenant: TenantId, linkId: string): Promise<void>;
  close(): Promise<void>;
}

interface Entry {
  readonly configText: string;
  readonly opening: Promise<Connector>;
}

export function createConnectorPool(deps: ConnectorPoolDeps): ConnectorPool {
  const entries = new Map<string, Entry>();

  async function drop(name: string): Promise<void> {
    const entry = entries.get(name);
    entries.delete(name);
    if (!entry) return;
    try {
      await (await entry.opening).close();
    } catch (error) {
      deps.log.debug({ link: name, error: messageOf(error) }, 'closing a connector failed');
    }
  }

  async function open(link: Link): Promise<Connector> {
    const type = deps.typeOf(link.connector);
    const config = parseConfig(type, link);
    type.checkAllowed(config, deps.permissions);
    return type.open(config, deps);
  }

  return {
    typeOf: deps.typeOf,
    async get(tenant, link) {
      const name = `${tenant}/${link.id}`;
      const configText = JSON.stringify([link.connector, link.config]);
      const known = entries.get(name);
      if (known && known.configText !== configText) await drop(name);
      const entry = entries.get(name) ?? { configText, opening: open(link) };
      entries.set(name, entry);
      try {
        return await entry.opening;
      } catch (error) {
        // The next call tries again; a failed opening is never remembered.
        if (entries.get(name) === entry) entries.delete(name);
        throw error;
      }
    },
    drop: (tenant, linkId) => drop(`${tenant}/${linkId}`),
    async close() {
      await Promise.all([...entries.keys()].map(drop));
    },
  };
}

function parseConfig(type: ConnectorType, link: Link): unknown {
  const parsed = type.configSchema.safeParse(link.config);
  if (parsed.success) return parsed.data;
  const errors = parsed.error.issues.map((issue) => ({
    pointer: `/config/${issue.path.join('/')}`,
    detail: issue.message,
  }));
  throw new AppError('VALIDATION', `the ${type.kind} configuration is not valid`, { errors });
}

/** `syncline keys …` */
import { InvalidArgumentError, type Command } from 'commander';
import type { ApiKey, NewApiKey } from '../../client/index.ts';
import { addCommand, addGroup, type CommandRunner } from '../cli-context.ts';
import { EXIT, UsageError } from '../exit-code.ts';
import { safeText, type Output } from '../output.ts';
import { collect, integerOption } from '../read-value.ts';
import { addKeysRotate } from './keys-rotate.ts';

type Scope = NewApiKey['scopes'][number];

const DAY_MS = 86_400_000;
const SCOPES: readonly Scope[] = ['read', 'write', 'sync', 'admin', 'root'];
/** Option of every command here, and its help. */
export const TENANT_OPTION = [
  '--tenant <tenant>',
  'of this tenant (needs a key with the scope root)',
] as const;

/** What the option means to the client. */
export function ofTenant(tenant: string | undefined): { readonly tenant?: string } {
  return tenant === undefined ? {} : { tenant };
}

/** Adds the group. */
export function addKeys(program: Command, runner: CommandRunner): void {
  const group = addGroup(program, {
    usage: 'keys',
    summary: 'API keys, and keys that encrypt',
    example: 'syncline keys list',
  });
  addCreate(group, runner);
  addList(group, runner);
  addRevoke(group, runner);
  addKeysRotate(group, runner);
}

interface CreateOptions {
  readonly scope?: readonly string[];
  readonly days?: number;
  readonly expires?: string;
  readonly tenant?: string;
}

function addCreate(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'create <name>',
    summary: 'make a key and show it, this once',
    example: 'syncline keys create laptop --scope read,write --days 90',
  })
    .option(
      '--scope <scopes>',
      `${SCOPES.join(', ')}; several with commas (default: read)`,
      collect,
    )
    .option('--days <n>', 'expires after so many days', integerOption(1))
    .option('--expires <time>', 'expires at this time, e.g. 2030-01-01T00:00:00Z', timeOption)
    .option(...TENANT_OPTION);
  command.action((name: string) =>
    runner.run(command, async ({ client, io, out }) => {
      const { tenant, ...options } = command.opts<CreateOptions>();
      const expiresAt = expiryOf(options);
      const made = await client.keys.create({
        name,
        scopes: scopesOf(options.scope ?? ['read']),
        ...(expiresAt === null ? {} : { expiresAt }),
        ...ofTenant(tenant),
      });
      out.show(made, () => {
        // The key alone, for `KEY=$(syncline keys create …)`.
        out.line(made.key ?? '');
        io.stderr('Keep it: it is not shown again.\n');
      });
      return EXIT.done;
    }),
  );
}

function scopesOf(given: readonly string[]): Scope[] {
  const named = given.flatMap((text) => text.split(',')).map((text) => text.trim());
  const unknown = named.find((name) => !SCOPES.some((scope) => scope === name));
  if (unknown !== undefined)
    throw new UsageError(`${unknown} is not a scope; there are ${SCOPES.join(', ')}`);
  return SCOPES.filter((scope) => named.includes(scope));
}

function expiryOf({ days, expires }: CreateOptions): string | null {
  if (days !== undefined && expires !== undefined)
    throw new UsageError('say --days or --expires, not both');
  if (days !== undefined) return new Date(Date.now() + days * DAY_MS).toISOString();
  return expires ?? null;
}

function timeOption(text: string): string {
  const ms = Date.parse(text);
  if (Number.isNaN(ms)) throw new InvalidArgumentError('must be a time like 2030-01-01T00:00:00Z.');
  return new Date(ms).toISOString();
}

interface ListOptions {
  readonly all?: boolean;
  readonly limit: number;
  readonly tenant?: string;
}

function addList(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'list',
    summary: 'keys, newest first',
    example: 'syncline keys list',
  })
    .option('--all', 'revoked ones, too')
    .option('--limit <n>', 'how many', integerOption(1), 100)
    .option(...TENANT_OPTION);
  command.action(() =>
    runner.run(command, async ({ client, out }) => {
      const { all = false, limit, tenant } = command.opts<ListOptions>();
      const query = { limit, revoked: all, ...ofTenant(tenant) };
      const { items } = await client.keys.list(query);
      out.show(items, () => printKeys(out, items));
      return EXIT.done;
    }),
  );
}

function printKeys(out: Output, keys: readonly ApiKey[]): void {
  if (keys.length === 0) return out.line('No keys.');
  out.table(
    ['NAME', 'BEGINS', 'SCOPES', 'LAST USED', 'EXPIRES', 'REVOKED', 'ID'],
    keys.map((key) => [
      key.name,
      key.prefix,
      key.scopes.join(','),
      key.lastUsedAt ?? 'never',
      key.expiresAt ?? 'never',
      key.revokedAt,
      key.id,
    ]),
  );
}

function addRevoke(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'revoke <key>',
    summary: 'end a key, by id or name; within seconds it opens nothing',
    example: 'syncline keys revoke laptop',
  }).option(...TENANT_OPTION);
  command.action((idOrName: string) =>
    runner.run(command, async ({ client, out }) => {
      const { tenant } = command.opts<{ readonly tenant?: string }>();
      const key = await client.keys.revoke(idOrName, ofTenant(tenant));
      out.show(key, () => out.line(`${safeText(key.name)} is revoked`));
      return EXIT.done;
    }),
  );
}

/** Keys, tenants and the audit log, as they are asked for and answered. */
import { z } from 'zod';
import { tenantIdSchema } from '../../domain/ids.ts';
import { SCOPES } from '../call.ts';
import {
  cursorSchema,
  idSchema,
  nameSchema,
  pageSchema,
  queryLimit,
  timeSchema,
} from './values.ts';

const MAX_NAME_CODE_POINTS = 64;
const MAX_ACTION_CODE_POINTS = 64;
const MAX_ACTOR_CODE_POINTS = 160;

export const scopeSchema = z.enum(SCOPES).meta({
  description:
    '`read` reads; `write` changes contexts; `sync` runs links and decides conflicts; `admin` may all of that and rules its tenant; `root` rules all tenants.',
});

const tenantSchema = tenantIdSchema.meta({
  description: '1 to 63 of a–z 0–9 _ -, beginning with a letter or digit.',
  examples: ['acme'],
  override: { type: 'string', pattern: '^[a-z0-9][a-z0-9_-]{0,62}$' },
});
/** Whose rows a call is about. */
export const tenantOfCall = tenantSchema
  .optional()
  .meta({ description: 'Another tenant than your own; needs the scope `root`.' });

// No slash and no brackets: `tenant/name` and `root (configured)` are names we give ourselves.
const keyNameSchema = nameSchema(MAX_NAME_CODE_POINTS).regex(
  /^[\p{L}\p{N}][\p{L}\p{N} ._@:-]*$/u,
  'begins with a letter or digit; then letters, digits, blanks and . _ @ : -',
);

export const newKeySchema = z
  .strictObject({
    name: keyNameSchema.meta({ description: 'Unique among the live keys of the tenant.' }),
    scopes: z
      .array(scopeSchema)
      .min(1, 'must name a scope')
      .max(SCOPES.length)
      .meta({ description: 'None that your own key does not hold.' }),
    expiresAt: z.iso
      .datetime({ offset: true, error: 'must be a time like 2030-01-01T00:00:00Z' })
      .nullable()
      .optional()
      .meta({ description: 'From then on it opens nothing; null or left out: never.' }),
    tenant: tenantOfCall,
  })
  .meta({ id: 'NewApiKey' });

export const apiKeySchema = z
  .object({
    id: z.string(),
    tenant: z.string(),
    name: z.string(),
    prefix: z.string().meta({ description: 'How the key begins, to tell keys apart.' }),
    scopes: z.array(scopeSchema).readonly(),
    createdAt: timeSchema,
    createdBy: z.string().nullable(),
    expiresAt: timeSchema.nullable(),
    lastUsedAt: timeSchema.nullable().meta({ description: 'To the minute.' }),
    revokedAt: timeSchema.nullable(),
  })
  .meta({ id: 'ApiKey' });

export const madeKeySchema = apiKeySchema
  .extend({
    key: z.string().nullable().meta({
      description: 'The key, shown this once; null in the replay of an `Idempotency-Key`.',
    }),
  })
  .meta({ id: 'MadeApiKey' });

export const keysQuery = z.strictObject({
  tenant: tenantOfCall,
  revoked: z.enum(['true', 'false']).default('false').meta({ description: 'Revoked ones, too.' }),
  limit: queryLimit,
  cursor: cursorSchema.optional(),
});
export const keyQuery = z.strictObject({ tenant: tenantOfCall });
export const keyParams = z.strictObject({
  id: idSchema.meta({ description: 'Id of a key, or name of a live one.' }),
});
export const keyPageSchema = pageSchema(apiKeySchema);

export const newTenantSchema = z
  .strictObject({
    id: tenantSchema,
    name: nameSchema(MAX_NAME_CODE_POINTS).optional().meta({ description: 'Default: the id.' }),
  })
  .meta({ id: 'NewTenant' });

export const tenantRowSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    createdAt: timeSchema,
    removingAt: timeSchema.nullable().meta({
      description: 'Since when it is being removed; its keys open nothing from then on.',
    }),
  })
  .meta({ id: 'Tenant' });

export const tenantsQuery = z.strictObject({ limit: queryLimit, cursor: cursorSchema.optional() });
export const tenantPageSchema = pageSchema(tenantRowSchema);
export const tenantParams = z.strictObject({ id: tenantSchema });
export const removeTenantQuery = z.strictObject({
  force: z.enum(['true', 'false']).default('false').meta({ description: 'Its data, too.' }),
});
export const tenantRemovalSchema = z
  .object({
    id: z.string(),
    removed: z.boolean().meta({ description: 'False: ask again in a moment, to go on.' }),
    rows: z.int().meta({ description: 'Rows deleted by this call.' }),
  })
  .meta({ id: 'TenantRemoval' });

export const auditQuery = z.strictObject({
  action: nameSchema(MAX_ACTION_CODE_POINTS)
    .optional()
    .meta({ description: 'An action, or a group of them: `link` means all of `link.…`.' }),
  actor: nameSchema(MAX_ACTOR_CODE_POINTS).optional().meta({ description: 'Name of a key.' }),
  tenant: tenantOfCall,
  limit: queryLimit,
  cursor: cursorSchema.optional(),
});

export const auditRowSchema = z
  .object({
    at: timeSchema,
    actor: z.string().nullable().meta({
      description:
        'Name of the key; `tenant/name` for one of another tenant; null while keys were off.',
    }),
    action: z.string(),
    target: z.string(),
    detail: z.record(z.string(), z.unknown()),
  })
  .meta({ id: 'AuditRow' });
export const auditPageSchema = pageSchema(auditRowSchema);

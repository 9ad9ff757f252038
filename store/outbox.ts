/**
 * The outbox: what has to be told to others once a transaction is committed. Rows are claimed with
 * SKIP LOCKED, sent, and deleted: at least once, in no promised order. A wake means "look".
 */
import { z } from 'zod';
import type { ConflictId, LinkId, TenantId } from '../domain/ids.ts';
import type { Database, Transaction } from './database.ts';

const contextsChanged = z.object({
  topic: z.literal('contexts.changed'),
  payload: z.object({ keys: z.array(z.string()), origin: z.string().nullable() }),
});
const linkWake = z.object({
  topic: z.literal('link.wake'),
  payload: z.object({ linkId: z.string(), name: z.string().nullish() }),
});
const conflict = z.object({ conflictId: z.string(), linkId: z.string().optional() });
/** A conflict opened, or is due at another time: its workflow starts, or looks. */
const conflictOpened = z.object({ topic: z.literal('conflict.opened'), payload: conflict });
/** A conflict was resolved or closed: its workflow, if there is one, ends. */
const conflictEnded = z.object({ topic: z.literal('conflict.ended'), payload: conflict });
/** A large sync wrote contexts that search does not know yet. */
const searchPending = z.object({ topic: z.literal('search.pending'), payload: z.object({}) });
type LinkWake = z.infer<typeof linkWake>;

const messageSchema = z.discriminatedUnion('topic', [
  contextsChanged,
  linkWake,
  conflictOpened,
  conflictEnded,
  searchPending,
]);

export type OutboxMessage = z.infer<typeof messageSchema> & {
  readonly id: string;
  readonly tenant: TenantId;
};

/** Asks, in the caller's transaction, that a link's workflow looks. */
export async function wakeLink(tx: Transaction, linkId: LinkId): Promise<void> {
  await tx.query(
    `INSERT INTO outbox (tenant_id, topic, payload)
     VALUES (current_setting('app.tenant'), 'link.wake', jsonb_build_object('linkId', $1::text, 'name',
       (SELECT name FROM sync_links WHERE tenant_id = current_setting('app.tenant') AND id = $1::uuid)))`,
    [linkId],
  );
}

const TOPICS = [contextsChanged, linkWake, conflictOpened, conflictEnded, searchPending].map(
  ({ shape }) => shape.topic.value,
);

// A claim is a lease: a relay that dies leaves its rows to the next one. Topics of a newer version
// are left to a newer relay.
const CLAIM = `
UPDATE outbox SET attempts = attempts + 1, not_before = now() + interval '30 seconds'
WHERE id IN (
  SELECT id FROM outbox WHERE not_before <= now() AND topic = ANY($2)
  ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)
RETURNING id, tenant_id, topic, payload`;

/**
 * The links whose scope holds one of the keys, other than the one that wrote them. A link that rests
 * because its remote asked for it looks when its rest is over.
 */
const SELECT_LISTENERS = `
SELECT DISTINCT l.tenant_id AS tenant, l.id AS "linkId", l.name
FROM json_to_recordset($1::json) AS m (tenant text, key text, origin text)
JOIN sync_links l ON l.tenant_id = m.tenant AND starts_with(m.key, l.prefix)
WHERE l.state IN ('active', 'failed') AND l.trigger = 'auto'
  AND (l.rests_until IS NULL OR l.rests_until <= now()) AND l.id::text IS DISTINCT FROM m.origin`;

export interface LinkRef {
  readonly tenant: TenantId;
  readonly linkId: LinkId;
  /** What operators know the link by; absent where nobody has read it. */
  readonly name?: string;
}

export interface ConflictRef {
  readonly tenant: TenantId;
  readonly conflictId: ConflictId;
  /** Absent in messages of before. */
  readonly linkId?: LinkId;
}

/** The conflicts whose workflows must hear of these messages, each once; an end outweighs a start. */
export function conflictsTold(
  messages: readonly OutboxMessage[],
): (ConflictRef & { readonly isOpen: boolean })[] {
  const told = new Map<string, ConflictRef & { isOpen: boolean }>();
  for (const { topic, payload, tenant } of messages) {
    if (topic !== 'conflict.opened' && topic !== 'conflict.ended') continue;
    const name = `${tenant}/${payload.conflictId}`;
    const isOpen = topic === 'conflict.opened' && told.get(name)?.isOpen !== false;
    const linkId = payload.linkId as LinkId | undefined;
    const ref = { tenant, conflictId: payload.conflictId as ConflictId };
    told.set(name, { ...ref, ...(linkId === undefined ? {} : { linkId }), isOpen });
  }
  return [...told.values()];
}

export interface Claimed {
  readonly messages: readonly OutboxMessage[];
  /** The links these messages are about. */
  readonly links: readonly LinkRef[];
}

export interface Outbox {
  /** Takes up to `limit` messages for 30 seconds, and finds the links that must look, each once. */
  claim(limit: number): Promise<Claimed>;
  /** Says that messages were sent. */
  done(ids: readonly string[]): Promise<void>;
}

export function createOutbox(database: Database): Outbox {
  return {
    claim: (limit) =>
      database.withSystem(async (tx) => {
        const rows = await tx.query<OutboxRow>(CLAIM, [limit, TOPICS]);
        const messages = rows.map((row) => ({
          ...messageSchema.parse({ topic: row.topic, payload: row.payload }),
          id: row.id,
          tenant: row.tenant_id,
        }));
        return { messages, links: await linksOf(tx, messages) };
      }),
    async done(ids) {
      await database.withSystem((tx) =>
        tx.query('DELETE FROM outbox WHERE id = ANY($1::bigint[])', [ids]),
      );
    },
  };
}

async function linksOf(tx: Transaction, messages: readonly OutboxMessage[]): Promise<LinkRef[]> {
  const direct = messages.flatMap((message) =>
    message.topic === 'link.wake' ? [directRef(message.tenant, message.payload)] : [],
  );
  const touched = messages.flatMap((message) =>
    message.topic === 'contexts.changed'
      ? message.payload.keys.map((key) => ({
          tenant: message.tenant,
          key,
          origin: message.payload.origin,
        }))
      : [],
  );
  const rows =
    touched.length === 0
      ? []
      : await tx.query<LinkRef>(SELECT_LISTENERS, [JSON.stringify(touched)]);
  return [
    ...new Map([...direct, ...rows].map((ref) => [`${ref.tenant}/${ref.linkId}`, ref])).values(),
  ];
}

function directRef(tenant: TenantId, { linkId, name }: LinkWake['payload']): LinkRef {
  return { tenant, linkId: linkId as LinkId, ...(name ? { name } : {}) };
}

interface OutboxRow {
  id: string;
  tenant_id: TenantId;
  topic: string;
  payload: unknown;
}

/** What the doctor finds, and what it did about it. */
import { z } from 'zod';
import { timeSchema } from './values.ts';

/** Every finding there is; `docs/operating.md` explains each. */
export const FINDING_CODES = [
  'POSTGRES_DOWN',
  'REDIS_DOWN',
  'TEMPORAL_DOWN',
  'CHECK_FAILED',
  'MIGRATIONS_PENDING',
  'DATABASE_NEWER',
  'CLOCK_SKEW',
  'DISK_LOW',
  'PULSE_MISSING',
  'PULSE_PAUSED',
  'NO_SYNC_WORKER',
  'NO_JOB_WORKER',
  'JOBS_MISSING',
  'BACKUP_UNSCHEDULED',
  'NO_BACKUP_WORKER',
  'BACKUP_FAILS',
  'BACKUP_OLD',
  'BACKUP_FOLDER',
  'OUTBOX_STUCK',
  'LINK_ASLEEP',
  'RUN_STUCK',
  'INTENTS_OPEN',
  'HISTORY_OVERSIZED',
  'WORKFLOW_STUCK',
  'REMOTE_FAILS',
  'LINK_FAILED',
  'LINK_PARKED',
  'CONFLICTS_OVERDUE',
  'ITEM_QUARANTINED',
  'MORE_FOUND',
] as const;

export const findingSchema = z
  .object({
    code: z.enum(FINDING_CODES),
    fixable: z.boolean().meta({ description: 'Whether a repair is safe and offered.' }),
    linkId: z.string().nullable(),
    link: z.string().nullable().meta({ description: 'Its name.' }),
    key: z.string().nullable().meta({ description: 'The item, where it is about one.' }),
    explanation: z.string().meta({ description: 'What is wrong, in a sentence.' }),
    advice: z.string().meta({ description: 'What to do, in a sentence.' }),
  })
  .meta({ id: 'DoctorFinding' });

export const repairSchema = z
  .object({
    code: z.enum(FINDING_CODES),
    linkId: z.string().nullable(),
    link: z.string().nullable(),
    done: z.boolean(),
    detail: z.string().meta({ description: 'What was done, or why it could not be done.' }),
  })
  .meta({ id: 'DoctorRepair' });

const serverSchema = z.object({
  status: z.enum(['up', 'down']),
  version: z.string().nullable(),
  latencyMs: z.int(),
  skewMs: z.int().nullable().meta({
    description: 'Its clock against that of this process; positive: ahead. Null: not known.',
  }),
});

export const doctorReportSchema = z
  .object({
    healthy: z.boolean(),
    checkedAt: timeSchema,
    tookMs: z.int(),
    servers: z.object({ postgres: serverSchema, redis: serverSchema, temporal: serverSchema }),
    links: z.int().nullable().meta({ description: 'Links looked at; null: Postgres is out.' }),
    outbox: z.object({ waiting: z.int(), oldestMs: z.int() }).nullable(),
    findings: z.array(findingSchema).readonly(),
    repairs: z
      .array(repairSchema)
      .readonly()
      .meta({ description: 'Of a repair: what was done before these findings were made.' }),
  })
  .meta({ id: 'DoctorReport' });

export const doctorFixSchema = z.strictObject({
  fix: z.literal(true).meta({ description: 'Says that repairs are wanted.' }),
});

/** The doctor's calls. */
import { defineCall } from '../call.ts';
import { doctorFixSchema, doctorReportSchema } from './doctor.ts';

const answers = { 200: { description: 'What was found.', schema: doctorReportSchema } };

export const DOCTOR_CALLS = {
  examine: defineCall({
    id: 'examine',
    method: 'get',
    path: '/api/sync/doctor',
    group: 'Server',
    summary: 'Look for whatever is stuck',
    description:
      'Examines the servers, the pulse, the queues, and this tenant’s links with a probe of each remote; changes nothing. Takes some seconds when something does not answer.',
    scope: 'sync',
    answers,
    errors: [],
  }),
  repair: defineCall({
    id: 'repair',
    method: 'post',
    path: '/api/sync/doctor',
    group: 'Server',
    summary: 'Repair what is safe to repair, and look again',
    description:
      'Wakes links, puts the pulse and the job schedulers back, replaces workflows that are stuck. Never writes to a remote by itself, never decides anything: parked links and conflicts stay as they are.',
    scope: 'admin',
    body: doctorFixSchema,
    answers,
    errors: ['VALIDATION'],
    example: { body: { fix: true } },
  }),
} as const;

/** The doctor: what it finds, and what it repairs. */
import { SYNC_CALLS } from '../contract.ts';
import type { Doctor } from '../ports.ts';
import { route, type Route } from './route.ts';

export function doctorRoutes({ doctor }: { readonly doctor: Doctor }): readonly Route[] {
  return [
    route(SYNC_CALLS.examine, async ({ caller }) => ({
      status: 200,
      body: await doctor.examine(caller),
    })),
    route(SYNC_CALLS.repair, async ({ caller }) => ({
      status: 200,
      body: await doctor.repair(caller),
    })),
  ];
}

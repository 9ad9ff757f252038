/** Rotation of encryption keys. */
import type { KeyRotation } from '../../store/contract.ts';
import { ENCRYPTION_CALLS } from '../contract.ts';
import { ruled } from './admin.ts';
import { route, type Route } from './route.ts';

export function encryptionRoutes(rotation: KeyRotation): readonly Route[] {
  return [
    route(ENCRYPTION_CALLS.rotateEncryptionKey, async ({ body, caller, res }) => ({
      status: 202,
      body: await rotation.rotate(ruled(res, caller, body.tenant)),
    })),
    route(ENCRYPTION_CALLS.getRotation, async ({ query, caller, res }) => ({
      status: 200,
      body: await rotation.status(ruled(res, caller, query.tenant).tenant),
    })),
  ];
}

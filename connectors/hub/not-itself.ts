/**
 * A link whose far side is the very hub and tenant it begins at, where the two scopes overlap, feeds
 * itself: what it writes is in its own scope again, without end. Between two scopes of one hub that
 * lie apart a link is as good as any.
 */
import { AppError } from '../../domain/errors.ts';

export interface LinkEnds {
  readonly prefix: string;
  readonly remotePrefix: string;
  /** What this hub and tenant call themselves; absent where nobody knows. */
  readonly ownHubId?: (() => Promise<string>) | undefined;
}

/** Proves that the far side, which calls itself `farHubId`, is not this side. @throws AppError LINK_TO_ITSELF */
export type CheckFarSide = (farHubId: string | undefined) => Promise<void>;

export function createFarSideCheck({ prefix, remotePrefix, ownHubId }: LinkEnds): CheckFarSide {
  const isApart = !overlaps(prefix, remotePrefix);
  let own: string | null = null;
  return async (farHubId) => {
    // Hubs from before do not say who they are.
    if (isApart || farHubId === undefined || !ownHubId) return;
    own ??= await ownHubId();
    if (farHubId !== own) return;
    const shown = (text: string): string => (text === '' ? 'all keys' : `"${text}"`);
    const scopes = `${shown(prefix)} here and ${shown(remotePrefix)} there`;
    const detail = `leads to this very hub, and ${scopes} overlap`;
    throw new AppError('LINK_TO_ITSELF', `The link ${detail}: it would feed itself.`, {
      errors: [
        { pointer: '/config/url', detail },
        { pointer: '/config/prefix', detail: 'must lie apart from the scope of the link' },
      ],
    });
  };
}

/** Whether a key may begin with both. */
export function overlaps(a: string, b: string): boolean {
  return a.startsWith(b) || b.startsWith(a);
}

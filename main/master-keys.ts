/** The master keys an installation is configured with. */
import { masterKeysOf, type MasterKeys } from '../store/crypto/master-keys.ts';
import type { Config } from './config.ts';

/** Null: no master key is set. @throws AppError CONFIG_INVALID */
export function configuredMasterKeys({
  encryption,
}: Pick<Config, 'encryption'>): MasterKeys | null {
  const { key, oldKeys } = encryption;
  return masterKeysOf({
    key: key?.reveal() ?? null,
    oldKeys: oldKeys.map((old) => old.reveal()),
  });
}

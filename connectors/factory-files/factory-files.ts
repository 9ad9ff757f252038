/**
 * A Factory project's files: its memories as items, its rules, instructions, droids and skills as
 * documents. Grade C: files know neither versions nor locks; `docs/factory-files.md` says what
 * follows from that.
 */
import { randomUUID } from 'node:crypto';
import { homedir } from 'node:os';
import { systemClock } from '../../domain/clock.ts';
import type { ItemKind } from '../../domain/item.ts';
import type { ConnectorCapabilities, ConnectorType } from '../connector.ts';
import { LATE_LOOKS_MS } from '../files/late-writes.ts';
import { checkPlaces } from '../files/places.ts';
import { createFactoryConnector } from './factory-connector.ts';
import { factoryFilesConfigSchema, type FactoryFilesConfig } from './factory-files-config.ts';
import { placesOf } from './places.ts';

const CAPABILITIES: ConnectorCapabilities = {
  grade: 'C',
  deletes: 'scan',
  canWatch: true,
  hasStableIds: false,
  kinds: ['memory', 'document'],
  maxBatch: 1000,
};

/** The `factory-files` connector. */
export const factoryFiles: ConnectorType<FactoryFilesConfig> = {
  kind: 'factory-files',
  title: 'Factory project files',
  configSchema: factoryFilesConfigSchema,
  capabilities: CAPABILITIES,
  version: 1,
  checkAllowed(config, permissions) {
    checkPlaces(placesOf(config, homedir()), permissions);
  },
  async open(config, { permissions, log }) {
    const places = placesOf(config, homedir());
    checkPlaces(places, permissions);
    const connector = createFactoryConnector({
      config,
      places,
      permissions,
      capabilities: { ...CAPABILITIES, kinds: kindsOf(config) },
      log,
      newId: randomUUID,
      clock: systemClock,
      lateLooksMs: LATE_LOOKS_MS,
    });
    await connector.probe();
    return connector;
  },
};

/** Contexts of a kind the link does not include are left alone. */
function kindsOf({ include }: FactoryFilesConfig): readonly ItemKind[] {
  const hasMemories = include.includes('memories');
  const hasDocuments = include.some((one) => one !== 'memories');
  return [
    ...(hasMemories ? ['memory' as const] : []),
    ...(hasDocuments ? ['document' as const] : []),
  ];
}

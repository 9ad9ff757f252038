/**
 * Claude Code's files of a project: its memory folder as memory items, its instructions and rules
 * as documents. Grade C: files know neither versions nor locks; `docs/claude-code.md` says what
 * follows from that.
 */
import { randomUUID } from 'node:crypto';
import { homedir } from 'node:os';
import { systemClock } from '../../domain/clock.ts';
import { AppError } from '../../domain/errors.ts';
import type { ItemKind } from '../../domain/item.ts';
import type { ConnectorCapabilities, ConnectorPermissions, ConnectorType } from '../connector.ts';
import { LATE_LOOKS_MS } from '../files/late-writes.ts';
import { checkPlaces, type Place } from '../files/places.ts';
import { claudeCodeConfigSchema, includesOf, type ClaudeCodeConfig } from './claude-code-config.ts';
import { createClaudeConnector } from './claude-connector.ts';
import { isMemoryPlace } from './claude-layout.ts';
import { placesOf } from './places.ts';

const CAPABILITIES: ConnectorCapabilities = {
  grade: 'C',
  deletes: 'scan',
  canWatch: true,
  hasStableIds: false,
  kinds: ['memory', 'document'],
  maxBatch: 1000,
};

/** The `claude-code` connector. */
export const claudeCode: ConnectorType<ClaudeCodeConfig> = {
  kind: 'claude-code',
  title: 'Claude Code memory and instructions',
  configSchema: claudeCodeConfigSchema,
  capabilities: CAPABILITIES,
  version: 1,
  checkAllowed(config, permissions) {
    checkAllowed(placesOf(config, homedir()), permissions);
  },
  async open(config, { permissions, log }) {
    const places = placesOf(config, homedir());
    checkAllowed(places, permissions);
    const connector = createClaudeConnector({
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

/** The memory folder lies outside the project: whoever may not open it is told what to do. */
function checkAllowed(places: readonly Place[], permissions: ConnectorPermissions): void {
  checkPlaces(
    places.filter((place) => !isMemoryPlace(place)),
    permissions,
  );
  for (const place of places.filter(isMemoryPlace)) {
    try {
      checkPlaces([place], permissions);
    } catch (cause) {
      throw new AppError(
        'CONNECTOR_NOT_ALLOWED',
        `This server may not open Claude Code's memory folder ${place.base}. Add it to ` +
          'SYNCLINE_FILE_ROOTS, name another one as memoryDir, or leave `memory` out of include.',
        { cause },
      );
    }
  }
}

/** Contexts of a kind the link does not include are left alone. */
function kindsOf(config: ClaudeCodeConfig): readonly ItemKind[] {
  const include = includesOf(config);
  return [
    ...(include.includes('memory') ? ['memory' as const] : []),
    ...(include.some((one) => one !== 'memory') ? ['document' as const] : []),
  ];
}

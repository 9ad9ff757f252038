/** An open conversation with a Factory project's files. */
import type { Connector } from '../connector.ts';
import { createFileConnector, type FileConnectorDeps } from '../files/file-connector.ts';
import type { Place } from '../files/places.ts';
import type { FactoryFilesConfig } from './factory-files-config.ts';
import { createFactoryLayout } from './list-documents.ts';
import { createFactoryMemories } from './memory-files.ts';

export interface FactoryConnectorDeps extends Omit<
  FileConnectorDeps,
  'layout' | 'memories' | 'mapping'
> {
  readonly config: FactoryFilesConfig;
  /** The project first, then the user's own folder if it is included. */
  readonly places: readonly Place[];
}

/** Opens nothing yet; every call looks at the folders anew. */
export function createFactoryConnector({
  config,
  places,
  ...deps
}: FactoryConnectorDeps): Connector {
  return createFileConnector({
    ...deps,
    layout: createFactoryLayout(places, config.include),
    memories: (isDocument) => createFactoryMemories({ config, places, isDocument }),
    mapping: [config.blocks, [...config.include].sort()],
  });
}

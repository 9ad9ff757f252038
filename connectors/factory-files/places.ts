/** The folders of a `factory-files` link. */
import { join, resolve } from 'node:path';
import { realOrSelf, type Place } from '../files/places.ts';
import type { FactoryFilesConfig } from './factory-files-config.ts';

export const MEMORY_PATH = '.factory/memories.md';

/** The places of a configuration; a home that is the project itself counts once. */
export function placesOf(config: FactoryFilesConfig, home: string): readonly Place[] {
  const root = resolve(config.root);
  const project: Place = {
    base: root,
    boundary: root,
    idPrefix: '',
    namePrefix: '',
    isRequired: true,
  };
  if (!config.personal || realOrSelf(root) === realOrSelf(home)) return [project];
  const personal: Place = {
    base: home,
    boundary: join(home, '.factory'),
    idPrefix: '~/',
    namePrefix: 'Personal > ',
    isRequired: false,
  };
  return [project, personal];
}

/**
 * The house rules a machine can check: the ways between rooms (02-architecture), types without
 * holes, configuration read in one place. Style that prettier prints is not judged here.
 */
import importX from 'eslint-plugin-import-x';
import tseslint from 'typescript-eslint';

const ROOMS = [
  'main',
  'api',
  'workflows',
  'activities',
  'sync',
  'connectors',
  'store',
  'entities',
  'migrations',
  'cache',
  'workers',
  'client',
  'cli',
  'dev',
  'domain',
  'test',
  'bench',
];

/** Doors into rooms that are otherwise closed. */
const CONTRACTS = ['api', 'sync', 'workers', 'workflows'].map((room) => `./${room}/contract.ts`);

/** Room → what it may import besides itself: rooms, files, and (where listed) packages. */
const MAY_IMPORT = {
  domain: { packages: ['zod'] },
  // node-diff3 is a pure function too (03-sync, "Merge").
  sync: { rooms: ['domain'], packages: ['node-diff3'] },
  connectors: { rooms: ['domain'], packages: 'any' },
  entities: { rooms: ['domain'], packages: ['typeorm'] },
  store: { rooms: ['entities', 'domain'], packages: 'any' },
  cache: { rooms: ['domain'], packages: 'any' },
  // @temporalio/common holds the typed search attribute keys that @temporalio/workflow takes.
  workflows: {
    rooms: ['domain', 'activities'],
    packages: ['@temporalio/workflow', '@temporalio/common'],
  },
  activities: {
    rooms: ['sync', 'connectors', 'store', 'cache', 'domain'],
    files: CONTRACTS,
    packages: 'any',
  },
  workers: {
    rooms: ['store', 'cache', 'connectors', 'domain'],
    files: CONTRACTS,
    packages: 'any',
  },
  api: { rooms: ['store', 'cache', 'domain'], files: CONTRACTS, packages: 'any' },
  migrations: { packages: ['typeorm'] },
  client: { files: ['./api/contract.ts'], packages: 'any' },
  // Times are read on the command line as they are in the configuration.
  cli: { rooms: ['client', 'dev'], files: ['./domain/parse-amount.ts'], packages: 'any' },
  dev: { rooms: ['domain'], packages: 'any' },
};

/** One zone per room: everything in the repository is closed but what the table opens. */
const zones = Object.entries(MAY_IMPORT).map(
  ([room, { rooms = [], files = [], packages = [] }]) => {
    const opened =
      packages === 'any' ? ['./node_modules'] : packages.map((name) => `./node_modules/${name}`);
    const names = [
      ...rooms,
      ...files.map((file) => file.slice(2)),
      ...(packages === 'any' ? ['packages'] : packages),
    ];
    return {
      target: `./${room}`,
      from: '.',
      except: [`./${room}`, ...rooms.map((name) => `./${name}`), ...files, ...opened],
      message: `${room}/ may import only itself${names.map((name) => `, ${name}`).join('')} (02-architecture, "Ways between rooms").`,
    };
  },
);

const noEnvironment = {
  'no-restricted-properties': [
    'error',
    {
      object: 'process',
      property: 'env',
      message: 'Configuration is parsed once in main/; take your slice of it as an argument.',
    },
  ],
};

const BUILT_IN = { regex: '^node:', message: 'This room does no I/O and must run anywhere.' };
const ENV_IMPORT = {
  name: 'node:process',
  importNames: ['env'],
  message: 'Configuration is parsed once in main/.',
};

export default tseslint.config(
  { ignores: ['dist/', '.dist-*/', 'node_modules/', 'coverage/', '.syncline/'] },
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.strictTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    plugins: { 'import-x': importX },
    settings: { 'import-x/resolver': { typescript: true, node: true } },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/ban-ts-comment': [
        'error',
        { 'ts-expect-error': true, 'ts-ignore': true },
      ],
      '@typescript-eslint/no-unused-vars': ['error', { ignoreRestSiblings: true }],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      // Numbers and booleans print as one expects.
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': [
        'error',
        {
          ignoreArrowShorthand: true,
          ignoreVoidOperator: true,
          ignoreVoidReturningFunctions: true,
        },
      ],
      // `list[index]!` right after the bounds check reads better than a second check.
      '@typescript-eslint/no-non-null-assertion': 'off',
      // Factories give closures: their methods have no `this` to lose.
      '@typescript-eslint/unbound-method': 'off',
      // Spreading a string goes by code point, which is how names and texts are compared here.
      '@typescript-eslint/no-misused-spread': 'off',
      // A row or an answer is given its type where it is read: `query<Row>(…)`.
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
      // An async function may have nothing to await when a port asks for a promise.
      '@typescript-eslint/require-await': 'off',
      // Rejections carry whatever was caught.
      '@typescript-eslint/prefer-promise-reject-errors': 'off',
      'no-restricted-imports': ['error', { paths: [ENV_IMPORT] }],
      'import-x/no-restricted-paths': ['error', { basePath: import.meta.dirname, zones }],
      'import-x/no-cycle': ['error', { ignoreExternal: true }],
      'import-x/no-default-export': 'error',
      eqeqeq: 'error',
      'no-console': 'off',
    },
  },
  {
    files: ROOMS.filter((room) => !['main', 'dev', 'test', 'bench'].includes(room)).map(
      (room) => `${room}/**/*.ts`,
    ),
    // The command is a program of its own; it reads its few variables in this one file.
    ignores: ['cli/environment.ts'],
    rules: noEnvironment,
  },
  {
    // Hashing is the one thing of Node's the shared words need.
    files: ['domain/**/*.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        { patterns: [{ ...BUILT_IN, regex: '^node:(?!crypto$)' }] },
      ],
    },
  },
  {
    files: ['sync/**/*.ts'],
    rules: { 'no-restricted-imports': ['error', { patterns: [BUILT_IN] }] },
  },
  {
    files: ['workflows/**/*.ts', 'activities/run-pass.ts'],
    rules: {
      'no-restricted-imports': ['error', { patterns: [BUILT_IN] }],
      '@typescript-eslint/no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              // The order of a pass is written once, for one activity and for the workflow.
              group: ['**/activities/**', '!**/activities/run-pass.ts', '**/domain/**'],
              allowTypeImports: true,
              message: 'Workflows take types only from here: their code runs in a sandbox.',
            },
          ],
        },
      ],
      'no-restricted-globals': [
        'error',
        { name: 'process', message: 'Workflow code is deterministic.' },
        { name: 'fetch', message: 'Workflow code does no I/O; use an activity.' },
      ],
    },
  },
  {
    files: ['client/**/*.ts'],
    rules: {
      '@typescript-eslint/no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              group: ['**/api/contract.ts'],
              allowTypeImports: true,
              message: 'The client takes types only from the contract.',
            },
          ],
        },
      ],
    },
  },
  {
    files: ['*.config.ts', '*.config.js'],
    rules: { 'import-x/no-default-export': 'off' },
  },
);

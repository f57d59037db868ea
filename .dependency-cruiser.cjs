/** The layering of design.md as rules; `test/layering.test.ts` runs them. */
const only = (name, from, allowed) => ({
  name,
  severity: 'error',
  from: { path: from },
  to: { path: '^(src|test|deploy)/', pathNot: allowed },
});

module.exports = {
  forbidden: [
    only('domain-imports-domain', '^src/domain/', '^src/domain/'),
    {
      name: 'domain-has-no-packages',
      severity: 'error',
      from: { path: '^src/domain/' },
      to: { dependencyTypes: ['npm', 'npm-dev', 'npm-optional', 'npm-peer', 'npm-no-pkg', 'npm-unknown'] },
    },
    {
      name: 'domain-does-no-io',
      severity: 'error',
      from: { path: '^src/domain/' },
      to: { dependencyTypes: ['core'], pathNot: '^(node:)?crypto$' },
    },
    only('ports-import-domain', '^src/ports\\.ts$', '^src/domain/'),
    only('config-imports-domain', '^src/config(\\.ts$|/)', '^src/(config/|domain/|ports\\.ts$)'),
    only('transfer-imports-ports-and-domain', '^src/transfer/', '^src/(transfer/|domain/|ports\\.ts$)'),
    only('restore-imports-ports-and-domain', '^src/restore/', '^src/(restore/|stored/|domain/|ports\\.ts$)'),
    only('stored-imports-ports-and-domain', '^src/stored/', '^src/(stored/|domain/|ports\\.ts$)'),
    only('retention-imports-ports-and-domain', '^src/retention/', '^src/(retention/|domain/|ports\\.ts$)'),
    only(
      'commands-import-ports-and-domain',
      '^src/commands/',
      '^src/(commands/|restore/|retention/|stored/|domain/|ports\\.ts$)',
    ),
    only('jobs-import-ports-and-domain', '^src/jobs/', '^src/(jobs/|restore/|retention/|stored/|domain/|ports\\.ts$)'),
    only('chat-imports-commands-ports-domain', '^src/chat/', '^src/(chat/|commands/|domain/|ports\\.ts$)'),
    {
      name: 'adapters-do-not-import-each-other',
      severity: 'error',
      from: { path: '^src/adapters/([^/]+)' },
      to: { path: '^src/', pathNot: ['^src/adapters/$1', '^src/(transfer/|domain/|ports\\.ts$)'] },
    },
    {
      name: 'src-does-not-know-tests-or-local-parts',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(test|deploy)/' },
    },
    {
      name: 'one-home-for-ssh2',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/adapters/ssh/' },
      to: { path: 'node_modules/(@types/)?ssh2/' },
    },
    {
      name: 'one-home-for-redis',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/adapters/redis/' },
      to: { path: 'node_modules/(ioredis|bullmq)/' },
    },
    {
      name: 'one-home-for-s3',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/adapters/stores/' },
      to: { path: 'node_modules/@aws-sdk/' },
    },
    {
      name: 'one-home-for-age',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/adapters/encoding/' },
      to: { path: 'node_modules/age-encryption/' },
    },
    {
      name: 'one-home-for-azure',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/adapters/stores/' },
      to: { path: 'node_modules/@azure/' },
    },
    {
      name: 'one-home-for-kubernetes',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/adapters/kubernetes/' },
      to: { path: 'node_modules/@kubernetes/' },
    },
    {
      name: 'one-home-for-slack',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/chat/' },
      to: { path: 'node_modules/@slack/' },
    },
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'no-orphans',
      severity: 'error',
      from: { orphan: true, path: '^src/' },
      to: {},
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { extensions: ['.ts', '.js'] },
  },
};

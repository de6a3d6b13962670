// The import arrows of docs/architecture.md. Each rule says why it is there.
const programs = ['agent-lite', 'gateway', 'coordinator', 'cli']

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    ...programs.map((program) => ({
      name: `${program}-imports-no-other-program`,
      comment: 'Programs meet only on the wire: whatever two of them share belongs in protocol/, certs/ or lib/.',
      severity: 'error',
      from: { path: `^${program}/` },
      to: { path: `^(${programs.filter((other) => other !== program).join('|')})/` },
    })),
    {
      name: 'protocol-imports-nothing-of-ours',
      comment: 'protocol/ is what two programs agree on; it must be readable, and testable, alone.',
      severity: 'error',
      from: { path: '^protocol/' },
      to: { path: '^(lib|certs|agent-lite|gateway|coordinator|cli|test|bench)/' },
    },
    {
      name: 'certs-imports-only-protocol-and-lib',
      comment: 'certs/ is used by every program, so it may depend on none.',
      severity: 'error',
      from: { path: '^certs/' },
      to: { path: '^(agent-lite|gateway|coordinator|cli|test|bench)/' },
    },
    {
      name: 'lib-imports-no-program',
      comment: 'lib/ holds small things that more than one program needs.',
      severity: 'error',
      from: { path: '^lib/' },
      to: { path: '^(agent-lite|gateway|coordinator|cli|certs|test|bench)/' },
    },
    {
      name: 'no-native-code-in-the-agent',
      comment: 'The agent runs where nothing can be compiled or downloaded: 32-bit ARM, Node 18.',
      severity: 'error',
      from: { path: '^(agent-lite|protocol|lib)/', pathNot: '^lib/sqlite' },
      to: { path: '^(better-sqlite3|lib/sqlite)' },
    },
    {
      name: 'aedes-only-in-the-broker',
      comment: 'aedes acknowledges before it stores; only gateway/broker knows how to hold it back.',
      severity: 'error',
      from: { path: '^gateway/', pathNot: '^gateway/broker/' },
      to: { path: 'node_modules/aedes' },
    },
    {
      name: 'mqtt-only-in-the-link',
      comment: 'mqtt.js is a transport and loses data when used as a queue; only agent-lite/link hands it messages.',
      severity: 'error',
      from: { path: '^(agent-lite|gateway|coordinator|cli)/', pathNot: '^agent-lite/link/' },
      to: { path: 'node_modules/mqtt/' },
    },
    {
      name: 'no-cycles',
      comment: 'A cycle hides which of two modules owns the state.',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'production-code-imports-no-test',
      comment: 'Tests stand beside code and must not leak into bundles.',
      severity: 'error',
      from: { pathNot: '(\\.test\\.ts$|^test/|^bench/)' },
      to: { path: '(\\.test\\.ts$|^test/|^bench/)' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^test/fixtures/' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default'],
      extensions: ['.ts', '.mjs', '.js'],
    },
  },
}

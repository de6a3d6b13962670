import { defineConfig } from 'vitest/config'

// unit: beside the code, no process, no network, no waiting.
// system: real processes, real TLS and MQTT; one file at a time, since two cores are all that CI has.
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['{protocol,certs,lib,agent-lite,gateway,coordinator,cli}/**/*.test.ts'],
          testTimeout: 20_000,
        },
      },
      {
        test: {
          name: 'system',
          include: ['test/**/*.test.ts'],
          pool: 'forks',
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
})

// What this agent can do, in osquery's terms. Central servers ask it whether a table exists before they use one, so the
// list of tables is the real one; it comes as a function since that list holds this table too.
import { defineTable, type Table } from './define.ts'

/** Plugins by registry, named as osquery names what does the same: SQLite, a file, and one MQTT link for the rest. */
const plugins: readonly (readonly [registry: string, name: string])[] = [
  ['config', 'filesystem'],
  ['distributed', 'mqtt'],
  ['logger', 'mqtt'],
  ['sql', 'sql'],
]

export const osqueryRegistry = (tables: () => readonly Table[]): Table =>
  defineTable({
    name: 'osquery_registry',
    about: 'The plugins and tables of the agent.',
    origin: 'osquery',
    columns: {
      registry: { type: 'TEXT', about: 'Kind of plugin: table, logger, config, …' },
      name: { type: 'TEXT', about: 'Name of the plugin' },
      owner_uuid: { type: 'INTEGER', about: 'Extension that brings it: always 0, the agent itself' },
      internal: { type: 'INTEGER', about: '1 for plugins that are not for use in queries' },
      active: { type: 'INTEGER', about: '1 when it is in use' },
    },
    examples: ["SELECT 1 FROM osquery_registry WHERE registry = 'table' AND name = 'device_tree' AND active = 1"],
    *read() {
      for (const [registry, name] of plugins) yield { registry, name, ...own }
      for (const { name } of tables()) yield { registry: 'table', name, ...own }
    },
  })

const own = { owner_uuid: 0, internal: 0, active: 1 }

// The agent's options and their values.
import { defineTable } from './define.ts'

export const osqueryFlags = defineTable({
  name: 'osquery_flags',
  about: 'Configurable flags that modify the behaviour of the agent.',
  origin: 'osquery',
  columns: {
    name: { type: 'TEXT', about: 'Name of the option' },
    type: { type: 'TEXT', about: 'Kind of its value' },
    description: { type: 'TEXT', about: 'What it does' },
    default_value: { type: 'TEXT', about: 'Value when nothing sets it' },
    value: { type: 'TEXT', about: 'Value now' },
    shell_only: { type: 'INTEGER', about: '1 when it only matters on the command line' },
  },
  examples: ['SELECT name, value FROM osquery_flags WHERE value <> default_value'],
  *read({ agent }) {
    for (const flag of agent.flags) yield { ...flag }
  },
})

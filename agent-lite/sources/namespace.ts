// osquery can enter the mount namespace of a container's process. This agent reads the host's own files only, so the
// column is always 0 and a question about another namespace says why it has no answer.
import type { ColumnSpec } from '../../protocol/tables.ts'

export const pidWithNamespace = {
  type: 'INTEGER',
  about: 'Process whose mount namespace was read: always 0, the host itself',
  additional: true,
  hidden: true,
} as const satisfies ColumnSpec

/** Warns when the query asks for the files of another process's namespace. */
export function warnOfNamespaces(context: {
  equals(column: 'pid_with_namespace'): string[]
  warn(message: string): void
}): void {
  const other = context.equals('pid_with_namespace').find((pid) => pid !== '0')
  if (other !== undefined) context.warn(`pid_with_namespace = ${other}: only the host's own files (0) can be read`)
}

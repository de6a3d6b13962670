// parent_directory: the text before the last slash, NULL without one; '/etc' gives ''.
import { SqlFunctionError, type SqlFunction } from './define.ts'

export const pathFunctions: readonly SqlFunction[] = [
  {
    name: 'parent_directory',
    argumentCount: 1,
    call: (path) => {
      if (typeof path !== 'string') {
        throw new SqlFunctionError('Invalid inputs to parent_directory, TEXT was expected')
      }
      const slash = path.lastIndexOf('/')
      return slash < 0 ? null : path.slice(0, slash)
    },
  },
]

// Reading of pack files: JSON with osquery's comments, or YAML.
import { readFileSync, statSync } from 'node:fs'
import { parse } from 'yaml'

/** osquery's own limit for a configuration. */
const fileMaxBytes = 4 * 1_048_576

/** The parsed file. Throws Error with a message for people. */
export function readPackFile(path: string): unknown {
  let content: string
  try {
    if (statSync(path).size > fileMaxBytes) throw new Error(`${path} is larger than 4 MiB`)
    content = readFileSync(path, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === undefined) throw error
    throw new Error(`cannot read ${path}: ${code}`, { cause: error })
  }
  try {
    return content.trimStart().startsWith('{') || /^\s*(\/\/|#)/.test(content)
      ? parseCommentedJson(content)
      : (parse(content) as unknown)
  } catch (error) {
    throw new Error(`${path}: ${(error as Error).message.split('\n')[0]}`, { cause: error })
  }
}

/** osquery drops lines that begin with # or //, and joins lines that end in a backslash (config.cpp, stripConfigComments). */
function parseCommentedJson(content: string): unknown {
  const stripped = content
    .split('\n')
    .filter((line) => !/^\s*(#|\/\/)/.test(line))
    .join('\n')
    .replaceAll('\\\n', '')
  return (stripped.trimStart().startsWith('{') ? JSON.parse(stripped) : parse(stripped)) as unknown
}

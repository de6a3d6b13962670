// A light look at SQL before it travels: one statement that reads. The device's engine is the authority; this only
// spares a round trip over a slow link for what can never run.
import { AppError } from '../../lib/errors.ts'

const firstWords = ['select', 'with', 'values', 'explain']

/** Throws AppError SQL_REFUSED unless the text is one statement that starts as a query does. */
export function checkSql(sql: string): void {
  const statements = splitStatements(sql)
  const [first] = statements
  if (first === undefined) throw refuse('there is no statement in it')
  if (statements.length > 1) throw refuse(`it holds ${statements.length} statements`)
  const word = /^[\s(]*([A-Za-z]+)/.exec(first)?.[1] ?? first.trim().slice(0, 20)
  if (!firstWords.includes(word.toLowerCase())) throw refuse(`it starts with ${word}`)
}

function refuse(why: string): AppError {
  return new AppError('SQL_REFUSED', `the SQL was refused: ${why}`, {
    hint: 'ask with one SELECT statement',
    exit: 'usage',
  })
}

/** Statements with their comments and the inside of strings blanked; those without any text are left out. */
function splitStatements(sql: string): string[] {
  const plain = sql.replace(
    /--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|'(?:[^']|'')*(?:'|$)|"(?:[^"]|"")*(?:"|$)|`[^`]*(?:`|$)|\[[^\]]*(?:\]|$)/g,
    (match) => (match.startsWith('-') || match.startsWith('/') ? ' ' : '?'),
  )
  return plain.split(';').filter((statement) => statement.trim() !== '')
}

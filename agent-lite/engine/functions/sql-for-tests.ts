// Evaluates SQL expressions in a core without tables. Only tests import this.
import type { Cell } from '../../../protocol/cells.ts'
import { testCore } from '../core-for-tests.ts'

/** The value of an expression, or its error as "code: message". */
export async function evaluator(): Promise<(expression: string) => Cell | undefined> {
  const { query, error } = await testCore([])
  return (expression) => {
    const sql = `SELECT ${expression}`
    const failure = error(sql)
    return failure === 'no error' ? query(sql).rows[0]?.[0] : failure
  }
}

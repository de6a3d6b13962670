// Discovery queries of packs: a pack runs only while each of them returns rows. An answer holds for pack_refresh_interval.

export class Discovery {
  readonly #refreshMs: number
  readonly #steadyMs: () => number
  readonly #answers = new Map<string, { hasRows: boolean; atSteadyMs: number }>()

  constructor(refreshMs: number, steadyMs: () => number) {
    this.#refreshMs = refreshMs
    this.#steadyMs = steadyMs
  }

  /** Asks in order and stops at the first without rows. What `hasRows` throws counts as none, as in osquery. */
  async isActive(queries: readonly string[], hasRows: (sql: string) => Promise<boolean>): Promise<boolean> {
    for (const sql of queries) {
      let answer = this.#answers.get(sql)
      if (answer === undefined || this.#steadyMs() - answer.atSteadyMs >= this.#refreshMs) {
        answer = { hasRows: await hasRows(sql).catch(() => false), atSteadyMs: this.#steadyMs() }
        this.#answers.set(sql, answer)
      }
      if (!answer.hasRows) return false
    }
    return true
  }
}

// What several commands share: the configuration, the store, and who is at the keyboard.
import { userInfo } from 'node:os'
import { loadCoordinatorConfig, storePath, type CoordinatorConfig } from '../config.ts'
import { openSqliteStore } from '../store/sqlite/open.ts'
import type { Store } from '../store/store.ts'

export const defaultConfig = '/etc/tidegate/coordinator.yaml'

export interface ConfigOption {
  config: string
}

/** Opens the store named in the configuration, hands both on, and closes the store. A running server keeps running. */
export async function withStore<T>(
  { config: path }: ConfigOption,
  use: (store: Store, config: CoordinatorConfig) => Promise<T>,
): Promise<T> {
  const config = loadCoordinatorConfig(path)
  const store = openSqliteStore(storePath(config))
  try {
    return await use(store, config)
  } finally {
    await store.close()
  }
}

/** For the audit log: the account that runs a command on the coordinator's machine. */
export function operator(): string {
  return `${process.env['SUDO_USER'] ?? userInfo().username} (on the coordinator)`
}

// Options that every command of the public API has, and the client made from them.
import type { Command } from 'commander'
import { ApiClient } from './client.ts'
import { loadSettings, type ConnectionOptions } from './settings.ts'

export function withConnection(command: Command): Command {
  return command
    .option('--server <url>', 'coordinator, https://host:port (TIDEGATE_SERVER)')
    .option('--ca <file>', 'root certificate that vouches for it (TIDEGATE_CA)')
    .option('--token <token>', 'bearer token; others can see it here, so rather use TIDEGATE_TOKEN or tidegate login')
}

/** Hands a client on and closes it afterwards. */
export async function useClient<T>(options: ConnectionOptions, use: (client: ApiClient) => Promise<T>): Promise<T> {
  const client = new ApiClient(loadSettings(options))
  try {
    return await use(client)
  } finally {
    await client.close()
  }
}

/** Text after a command's help. */
export function examples(...lines: string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}`
}

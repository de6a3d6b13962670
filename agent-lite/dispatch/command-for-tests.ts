// A query's command as the centre would sign it.
import { Command, type CommandInput } from '../../protocol/commands.ts'

/** Valid from 2026 for a year unless told. */
export function commandForTests(
  id: string,
  { sql = 'SELECT 1', ...rest }: { sql?: string; notBeforeMs?: number; notAfterMs?: number } = {},
): Command {
  return Command.parse({
    v: 1,
    id,
    kind: 'query',
    authority: 'centre',
    issuedAtMs: Date.UTC(2026, 0),
    notBeforeMs: Date.UTC(2026, 0),
    notAfterMs: Date.UTC(2027, 0),
    target: { site: 'plant-a', devices: ['press-1'] },
    body: { sql },
    ...rest,
  } as CommandInput)
}

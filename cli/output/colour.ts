// Colour only on a terminal, and never with NO_COLOR (no-color.org).

export type Colour = 'red' | 'yellow' | 'green' | 'dim'
const codes: Record<Colour, number> = { red: 31, yellow: 33, green: 32, dim: 2 }

export function painter(stream: { isTTY?: boolean }, env: NodeJS.ProcessEnv = process.env) {
  const isOn = stream.isTTY === true && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb'
  return (colour: Colour, text: string) => (isOn ? `\u001b[${codes[colour]}m${text}\u001b[0m` : text)
}

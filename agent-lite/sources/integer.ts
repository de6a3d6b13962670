// Whole numbers as /proc, /sys and /etc print them.

/** The integer that `text` is, exact past 2^53 too; null when it is absent or not a decimal integer. */
export function integer(text: string | undefined): number | bigint | null {
  if (text === undefined || !/^-?\d+$/.test(text)) return null
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : BigInt.asIntN(64, BigInt(text))
}

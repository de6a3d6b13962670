// Abbreviations of local time (CET, CEST) out of a compiled zone file, RFC 9636. Node's Intl has the rules but not the
// abbreviations that tzdata, and so osquery, gives. Images built with slim zone files hold only the footer's rule for
// the present, so it is evaluated too.

/** The zone's abbreviation at a moment; undefined when `tzif` is not a valid zone file. */
export function zoneAbbreviation(tzif: Uint8Array, unixSeconds: number): string | undefined {
  try {
    return readZone(new DataView(tzif.buffer, tzif.byteOffset, tzif.byteLength), unixSeconds)
  } catch (error) {
    if (error instanceof RangeError) return undefined // cut short, or counts that point past the end
    throw error
  }
}

function readZone(view: DataView, at: number): string | undefined {
  const first = readHeader(view, 0, 4)
  if (!first) return undefined
  if (first.version === 0) return abbreviationIn(view, first, at)
  const second = readHeader(view, first.end, 8) // version 1 data repeats the same with 32-bit times
  if (!second) return undefined
  const last = second.timeCount === 0 ? -Infinity : timeAt(view, second, second.timeCount - 1)
  const footer = latin1(view, second.end + 1, view.byteLength).split('\n', 1)[0]
  return (at >= last && footer ? abbreviationByRule(footer, at) : undefined) ?? abbreviationIn(view, second, at)
}

interface Header {
  version: number
  timeBytes: number
  timeCount: number
  times: number
  typeOfTime: number
  types: number
  names: number
  end: number
}

function readHeader(view: DataView, at: number, timeBytes: number): Header | undefined {
  if (latin1(view, at, at + 4) !== 'TZif') return undefined
  const [utIndicators, standardIndicators, leaps, timeCount, typeCount, nameBytes] = [20, 24, 28, 32, 36, 40].map(
    (offset) => view.getUint32(at + offset),
  ) as [number, number, number, number, number, number]
  const times = at + 44
  const typeOfTime = times + timeCount * timeBytes
  const types = typeOfTime + timeCount
  const names = types + typeCount * 6
  const end = names + nameBytes + leaps * (timeBytes + 4) + standardIndicators + utIndicators
  return { version: view.getUint8(at + 4), timeBytes, timeCount, times, typeOfTime, types, names, end }
}

function timeAt(view: DataView, { times, timeBytes }: Header, index: number): number {
  return timeBytes === 4 ? view.getInt32(times + index * 4) : Number(view.getBigInt64(times + index * 8))
}

function abbreviationIn(view: DataView, header: Header, at: number): string {
  let type = 0
  for (let index = 0; index < header.timeCount && timeAt(view, header, index) <= at; index++)
    type = view.getUint8(header.typeOfTime + index)
  const name = header.names + view.getUint8(header.types + type * 6 + 5)
  return latin1(view, name, header.end).split('\0', 1)[0] ?? ''
}

const footerForm =
  /^(<[^>]+>|[A-Za-z]{3,})([-+]?\d+(?::\d+){0,2})(?:(<[^>]+>|[A-Za-z]{3,})([-+]?\d+(?::\d+){0,2})?,([^,]+),([^,]+))?$/

/** POSIX TZ: `CET-1CEST,M3.5.0,M10.5.0/3`. Offsets there count west of Greenwich. */
function abbreviationByRule(footer: string, at: number): string | undefined {
  const [, standard, west, summer, summerWest, start, end] = footerForm.exec(footer) ?? []
  if (standard === undefined || west === undefined) return undefined
  const name = (text: string) => text.replace(/[<>]/g, '')
  if (summer === undefined || start === undefined || end === undefined) return name(standard)
  const standardOffset = -seconds(west)
  const summerOffset = summerWest === undefined ? standardOffset + 3600 : -seconds(summerWest)
  const year = new Date((at + standardOffset) * 1000).getUTCFullYear()
  const begins = moment(start, year) - standardOffset
  const ends = moment(end, year) - summerOffset
  const isSummer = begins < ends ? at >= begins && at < ends : at >= begins || at < ends
  return name(isSummer ? summer : standard)
}

function seconds(text: string): number {
  const [hours = 0, minutes = 0, rest = 0] = text.replace(/^[-+]/, '').split(':').map(Number)
  return (text.startsWith('-') ? -1 : 1) * (hours * 3600 + minutes * 60 + rest)
}

/** A rule's date and time in a year, as if local time were UTC: Mm.w.d, Jn (no leap day) or n, with /time. */
function moment(rule: string, year: number): number {
  const [date = '', clock = '2'] = rule.split('/')
  const weekly = /^M(\d+)\.(\d)\.(\d)$/.exec(date)
  return day() / 1000 + seconds(clock)

  function day(): number {
    if (!weekly) {
      const number = Number(date.replace('J', ''))
      const isLeapYear = new Date(Date.UTC(year, 1, 29)).getUTCMonth() === 1
      const days = date.startsWith('J') ? number - 1 + (isLeapYear && number >= 60 ? 1 : 0) : number
      return Date.UTC(year, 0, 1 + days)
    }
    const [month = 1, week = 1, weekday = 0] = weekly.slice(1).map(Number)
    const firstWeekday = new Date(Date.UTC(year, month - 1, 1)).getUTCDay()
    const first = 1 + ((weekday - firstWeekday + 7) % 7)
    const daysInMonth = new Date(Date.UTC(year, month, 0)).getUTCDate()
    const nth = first + (week - 1) * 7
    return Date.UTC(year, month - 1, nth > daysInMonth ? nth - 7 : nth)
  }
}

function latin1(view: DataView, from: number, to: number): string {
  if (from > view.byteLength) throw new RangeError('past the end')
  return Buffer.from(view.buffer, view.byteOffset, view.byteLength).subarray(from, to).toString('latin1')
}

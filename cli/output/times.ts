// Moments for people: local time, with the date only when it is not today.

/** "10:02" today, "2026-11-23 10:02" before. */
export function shortTime(atMs: number, nowMs: number): string {
  const local = (ms: number) => {
    const at = new Date(ms)
    const two = (n: number) => String(n).padStart(2, '0')
    const date = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`
    return { date, time: `${two(at.getHours())}:${two(at.getMinutes())}` }
  }
  const { date, time } = local(atMs)
  return date === local(nowMs).date ? time : `${date} ${time}`
}

/** A reason from the API with its UTC time stamps as short local ones. */
export function localTimes(text: string, nowMs: number): string {
  return text.replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g, (iso) => shortTime(Date.parse(iso), nowMs))
}

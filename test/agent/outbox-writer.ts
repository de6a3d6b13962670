// A process that keeps adding, sending and acknowledging records until it is killed. Each line of its diary says one thing
// that was true before the line was written: S seq (stored), T seq content (sent), A seq (acknowledged), G from to (gap
// received). On standard output it only ticks, for whoever wants to kill it.
import { openSync, writeSync } from 'node:fs'
import { pino } from 'pino'
import { Outbox } from '../../agent-lite/outbox/outbox.ts'

const [folder = '', diaryPath = '', run = ''] = process.argv.slice(2)
const diary = openSync(diaryPath, 'a')
const outbox = await Outbox.open(folder, {
  // Small, so that it is full now and then: a drop may be what the kill interrupts.
  maxBytes: 8 * 16_384,
  fileBytes: 16_384,
  flushDelayMs: 1,
  log: pino({ level: 'silent' }),
})
const say = (line: string) => writeSync(diary, `${line}\n`)

for (let number = 0; ; number++) {
  process.stdout.write('.')
  const isUrgent = number % 5 === 0
  const message = `${run}/${number} ${String(number * 7919).repeat(number % 60)}`
  const { seq, stored } = outbox.add({ kind: 'status', message }, { urgent: isUrgent })
  void stored.then((isStored) => isStored && say(`S ${seq}`))
  if (number % 3 !== 0) continue
  await outbox.flush()
  // Slower than it adds, so that the outbox fills up.
  const lease = await outbox.lease(3000)
  if (lease === undefined) continue
  for (const record of lease.records) say(`T ${record.seq} ${JSON.stringify(record)}`)
  if (number % 9 !== 0) {
    outbox.release(lease)
    continue
  }
  for (const record of lease.records) {
    say(record.kind === 'gap' ? `G ${String(record['from'])} ${String(record['to'])}` : `A ${record.seq}`)
  }
  for (const record of lease.records) if (record.kind === 'gap') say(`A ${record.seq}`)
  await outbox.acknowledge(lease)
}

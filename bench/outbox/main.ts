// Bytes that reach the flash per record, over a record's whole life (written, synced, sent, acknowledged, removed), for
// three designs and several numbers of records per sync, on an ext4 file system of its own, so that its journal counts
// and nobody else's writes do. Needs root for the loop mount. Prints a table and keeps it, with machine and versions, in
// bench/results/outbox.json.
//   npx tsx bench/outbox/main.ts [--records N]
import { execFileSync } from 'node:child_process'
import {
  closeSync,
  fdatasyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { arch, cpus, release, tmpdir, totalmem } from 'node:os'
import { basename, join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import Database from 'better-sqlite3'
import { pino } from 'pino'
import { Outbox } from '../../agent-lite/outbox/outbox.ts'
import { toColumnar } from '../../protocol/columnar.ts'
import type { DeviceRecord } from '../../protocol/records.ts'

const { values } = parseArgs({ options: { records: { type: 'string', default: '2000' } } })
const recordCount = Number(values.records)
const batchSizes = [1, 8, 64]
const log = pino({ level: 'silent' })

type Body = Omit<DeviceRecord, 'seq'>

/** What a schedule makes: mostly "nothing changed", some small changes, now and then a whole table. */
function workload(): Body[] {
  const columns = ['pid', 'name', 'path', 'cmdline', 'state', 'uid', 'resident_size', 'start_time']
  const row = (pid: number) => {
    const name = ['systemd', 'plc-runtime', 'node', 'sshd', 'dbus-daemon', 'kworker/u8:2'][pid % 6] ?? ''
    return [
      pid,
      name,
      `/usr/lib/${name}/${name}`,
      `/usr/lib/${name}/${name} --id ${pid * 7919}`,
      'S',
      pid % 3,
      pid * 40_961,
      1_795_000_000 + pid,
    ]
  }
  return Array.from({ length: recordCount }, (_, index) => {
    const head = {
      name: `pack_inventory_query_${index % 20}`,
      atMs: 1_795_000_000_000 + index * 3000,
      mode: 'snapshot' as const,
    }
    if (index % 40 === 0) {
      const rows = Array.from({ length: 120 }, (_, pid) => row(pid + index))
      return { kind: 'snapshot', ...head, columns, rows: toColumnar(columns.length, rows) }
    }
    const changed = index % 4 === 0 ? [row(index), row(index + 1)] : []
    const added = toColumnar(columns.length, changed)
    return { kind: 'delta', ...head, base: index, columns, added, removed: added }
  })
}

interface Design {
  name: string
  run(folder: string, records: readonly Body[], batch: number): Promise<void>
}

const designs: Design[] = [
  {
    name: 'files, compressed (the outbox)',
    async run(folder, records, batch) {
      const outbox = await Outbox.open(join(folder, 'outbox'), {
        maxBytes: 64 * 1_048_576,
        flushDelayMs: 3_600_000,
        log,
      })
      for (let from = 0; from < records.length; from += batch) {
        for (const record of records.slice(from, from + batch)) outbox.add(record)
        await outbox.flush()
        const lease = await outbox.lease(262_144)
        if (lease !== undefined) await outbox.acknowledge(lease)
      }
      await outbox.close()
    },
  },
  {
    name: 'files, plain JSON lines',
    run(folder, records, batch) {
      let file = -1
      let byteCount = Infinity
      let number = 0
      for (let from = 0; from < records.length; from += batch) {
        if (byteCount > 1_048_576) {
          if (file >= 0) {
            closeSync(file)
            unlinkSync(join(folder, String(number)))
          }
          file = openSync(join(folder, String(++number)), 'w')
          byteCount = 0
        }
        const text = records
          .slice(from, from + batch)
          .map((record, at) => `${JSON.stringify({ seq: from + at + 1, ...record })}\n`)
        byteCount += writeSync(file, text.join(''))
        fdatasyncSync(file)
      }
      closeSync(file)
      return Promise.resolve()
    },
  },
  {
    name: 'SQLite, WAL, synchronous=FULL',
    run(folder, records, batch) {
      const database = new Database(join(folder, 'outbox.db'))
      database.pragma('journal_mode = WAL')
      database.pragma('synchronous = FULL')
      database.exec('CREATE TABLE outbox(seq INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL)')
      const insert = database.prepare('INSERT INTO outbox(body) VALUES (?)')
      const remove = database.prepare('DELETE FROM outbox WHERE seq <= ?')
      for (let from = 0; from < records.length; from += batch) {
        const group = records.slice(from, from + batch)
        database.transaction(() => {
          for (const record of group) insert.run(JSON.stringify(record))
        })()
        remove.run(from + group.length)
      }
      database.close()
      return Promise.resolve()
    },
  },
]

/** Runs `work` in the root of a fresh ext4 file system and tells how many bytes its device was given to write. */
async function bytesWritten(work: (folder: string) => Promise<void>): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-bench-outbox-'))
  const image = join(folder, 'image')
  const mount = join(folder, 'mount')
  mkdirSync(mount)
  execFileSync('truncate', ['-s', '512M', image])
  execFileSync('mkfs.ext4', ['-q', '-E', 'lazy_itable_init=0,lazy_journal_init=0', image])
  execFileSync('mount', ['-o', 'loop', image, mount])
  try {
    const device = basename(execFileSync('findmnt', ['-no', 'SOURCE', mount], { encoding: 'utf8' }).trim())
    const written = () => {
      execFileSync('sync', ['-f', mount])
      return Number(readFileSync(`/sys/block/${device}/stat`, 'utf8').trim().split(/\s+/)[6]) * 512
    }
    const before = written()
    await work(mount)
    return written() - before
  } finally {
    execFileSync('umount', [mount])
    rmSync(folder, { recursive: true })
  }
}

const records = workload()
const payloadBytes = records.reduce((sum, record) => sum + JSON.stringify(record).length, 0) / records.length
const results: {
  design: string
  recordsPerSync: number
  bytesPerRecord: number
  amplification: number
  recordsPerSecond: number
}[] = []
for (const design of designs) {
  for (const batch of batchSizes) {
    let elapsedMs = 0
    const bytes = await bytesWritten(async (folder) => {
      const startMs = performance.now()
      await design.run(folder, records, batch)
      elapsedMs = performance.now() - startMs
    })
    results.push({
      design: design.name,
      recordsPerSync: batch,
      bytesPerRecord: Math.round(bytes / records.length),
      amplification: Number((bytes / records.length / payloadBytes).toFixed(1)),
      recordsPerSecond: Math.round((records.length / elapsedMs) * 1000),
    })
  }
}

/** How long the agent waits for an outbox that filled up while it was cut off. */
async function fullOutbox(): Promise<{ recordCount: number; mebibytes: number; openMs: number }> {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-bench-outbox-'))
  try {
    const options = { maxBytes: 64 * 1_048_576, flushDelayMs: 3_600_000, log }
    const outbox = await Outbox.open(folder, options)
    while (outbox.state.lostCount === 0) {
      for (const record of records) {
        outbox.add(record)
        if (outbox.state.nextSeq % 64 === 0) await outbox.flush()
      }
      await outbox.flush()
    }
    await outbox.close()
    const startMs = performance.now()
    const again = await Outbox.open(folder, options)
    const openMs = Math.round(performance.now() - startMs)
    const { recordCount, byteCount } = again.state
    await again.close()
    return { recordCount, mebibytes: Math.round(byteCount / 1_048_576), openMs }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const full = await fullOutbox()
const report = {
  at: new Date().toISOString(),
  machine: {
    cpu: cpus()[0]?.model ?? arch(),
    cpus: cpus().length,
    memoryMiB: Math.round(totalmem() / 1_048_576),
    kernel: release(),
  },
  versions: {
    node: process.version,
    sqlite: String(new Database(':memory:').prepare('SELECT sqlite_version()').pluck().get()),
  },
  fileSystem: 'ext4 on a loop device, data=ordered',
  records: { count: records.length, meanJsonBytes: Math.round(payloadBytes) },
  results,
  fullOutbox: full,
}
const path = fileURLToPath(new URL('../results/outbox.json', import.meta.url))
mkdirSync(fileURLToPath(new URL('../results', import.meta.url)), { recursive: true })
writeFileSync(path, `${JSON.stringify(report, undefined, 2)}\n`)

process.stdout.write(`${records.length} records of ${Math.round(payloadBytes)} bytes of JSON on average, ext4\n\n`)
process.stdout.write(
  `${'design'.padEnd(32)} ${'per sync'.padStart(9)} ${'bytes written'.padStart(14)} ${'× JSON'.padStart(7)} ${'records/s'.padStart(10)}\n`,
)
for (const row of results) {
  process.stdout.write(
    `${row.design.padEnd(32)} ${String(row.recordsPerSync).padStart(9)} ${String(row.bytesPerRecord).padStart(14)} ${String(row.amplification).padStart(7)} ${String(row.recordsPerSecond).padStart(10)}\n`,
  )
}
process.stdout.write(`\nfull: ${full.recordCount} records in ${full.mebibytes} MiB, opened in ${full.openMs} ms\n`)

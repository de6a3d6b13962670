import fc from 'fast-check'
import { expect, test } from 'vitest'
import { crc32 } from './crc32.ts'
import { decodeFrame, encodeBody, encodeFrame, isWhole, scanFile } from './frame.ts'

const frameOf = (seq: number, json: string) => encodeFrame(encodeBody(json), seq, { from: seq, to: seq }, false)

test('the checksum is CRC-32 as everybody else computes it', () => {
  expect(crc32(Buffer.from('123456789'))).toBe(0xcbf43926)
})

test('every record comes back as it was, compressed or not', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.nat(300), fc.integer({ min: 1, max: 2 ** 47 }), (value, repeat, seq) => {
      const json = JSON.stringify({ seq, value, repeat: 'x'.repeat(repeat) })
      expect(decodeFrame(frameOf(seq, json), seq)).toBe(json)
    }),
  )
})

test('no flipped bit passes for a record', () => {
  const frame = frameOf(7, JSON.stringify({ seq: 7, text: 'valve 4 closed' }))
  for (let bit = 0; bit < frame.byteLength * 8; bit++) {
    const damaged = Buffer.from(frame)
    damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    expect(decodeFrame(damaged, 7)).toBeUndefined()
    expect(isWhole(scanFile(damaged))).toBe(false)
  }
})

test('after damage the scan finds the next whole frame', () => {
  const frames = [1, 2, 3].map((seq) => frameOf(seq, JSON.stringify({ seq, text: 'x'.repeat(40) })))
  const head = Buffer.concat(frames)
  head[frames[0]?.byteLength ?? 0] = 0
  const scan = scanFile(head)
  expect(scan.frames.map(({ seq }) => seq)).toEqual([1, 3])
  expect(scan.unknown).toEqual([{ maxFrames: 1, isLast: false }])
  const body = Buffer.concat(frames)
  body[(frames[0]?.byteLength ?? 0) + 50] = 0
  expect(scanFile(body).damaged.map(({ seq }) => seq)).toEqual([2])
})

test('a frame cut off at the end still tells its seq once its head is there', () => {
  const whole = frameOf(9, JSON.stringify({ seq: 9, text: 'x'.repeat(40) }))
  for (let length = 1; length < whole.byteLength; length++) {
    const scan = scanFile(whole.subarray(0, length))
    expect(scan.frames).toEqual([])
    expect(scan.damaged.map(({ seq }) => seq)).toEqual(length >= 32 ? [9] : [])
  }
})

// Cursors of pages: opaque to callers, the key of the last item inside.
import { AppError } from '../../lib/errors.ts'
import { DeviceId, SiteId } from '../../protocol/ids.ts'
import type { HostKey } from '../store/store.ts'

export function hostCursor({ site, device }: HostKey): string {
  return `${device}.${site}`
}

/** Throws AppError CURSOR_INVALID. */
export function readHostCursor(cursor: string | undefined): HostKey | undefined {
  return cursor === undefined ? undefined : readHostId(cursor, () => invalid(cursor))
}

/** `device.site` as a key; `orElse` makes the error when it is none. */
export function readHostId(id: string, orElse: () => AppError): HostKey {
  const [device, site, ...rest] = id.split('.')
  const key = { site: SiteId.safeParse(site), device: DeviceId.safeParse(device) }
  if (!key.site.success || !key.device.success || rest.length > 0) throw orElse()
  return { site: key.site.data, device: key.device.data }
}

export function readNumberCursor(cursor: string | undefined): number | undefined {
  if (cursor === undefined) return undefined
  const n = Number(cursor)
  if (!/^\d{1,15}$/.test(cursor) || !Number.isSafeInteger(n)) throw invalid(cursor)
  return n
}

function invalid(cursor: string): AppError {
  return new AppError('CURSOR_INVALID', `'${cursor.slice(0, 40)}' is not a cursor`, {
    hint: 'pass on nextCursor, or the cursor of a line, as it was given',
    exit: 'usage',
  })
}

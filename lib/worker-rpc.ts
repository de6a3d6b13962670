// Typed calls to a worker thread: one request, one reply, errors carried over with their code and hint. The event loop
// that calls never waits for the work; order of calls is kept.
import { Worker, parentPort, type MessagePort, type TransferListItem, type WorkerOptions } from 'node:worker_threads'
import { AppError, type ExitKind } from './errors.ts'

type Methods = Record<string, (...args: never[]) => unknown>

interface Request {
  id: number
  method: string
  args: unknown[]
}

type Reply = { id: number; value: unknown } | { id: number; error: CarriedError } | { event: string; value: unknown }

interface CarriedError {
  name: string
  message: string
  code: string | undefined
  hint: string | undefined
  exit: ExitKind | undefined
}

export interface WorkerClient<M extends Methods> {
  call<K extends keyof M & string>(
    method: K,
    args: Parameters<M[K]>,
    transfer?: readonly TransferListItem[],
  ): Promise<Awaited<ReturnType<M[K]>>>
  /** Called for what the worker says by itself with `emit`. */
  on(event: string, listener: (value: unknown) => void): void
  /** Resolves when the worker has gone, whatever the cause; with an error when it died. */
  readonly ended: Promise<Error | undefined>
  terminate(): Promise<void>
}

/** Starts a worker that runs serveWorker. Pending calls reject when it dies. */
export function startWorker<M extends Methods>(file: URL | string, options: WorkerOptions = {}): WorkerClient<M> {
  const worker = new Worker(file, options)
  const pending = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()
  const listeners = new Map<string, (value: unknown) => void>()
  let nextId = 1
  let gone: Error | undefined

  worker.on('message', (reply: Reply) => {
    if ('event' in reply) return listeners.get(reply.event)?.(reply.value)
    const waiting = pending.get(reply.id)
    pending.delete(reply.id)
    if ('error' in reply) waiting?.reject(revive(reply.error))
    else waiting?.resolve(reply.value)
  })
  let died: Error | undefined
  worker.on('error', (error: Error) => (died = error))
  const ended = new Promise<Error | undefined>((resolve) => {
    worker.once('exit', (code) => {
      gone = new AppError('WORKER_ENDED', `worker ${String(options.name ?? file)} ended with code ${code}`, {
        cause: died,
      })
      for (const waiting of pending.values()) waiting.reject(gone)
      pending.clear()
      resolve(died)
    })
  })

  return {
    call(method, args, transfer = []) {
      if (gone) return Promise.reject(gone)
      return new Promise((resolve, reject) => {
        const id = nextId++
        pending.set(id, { resolve: resolve as (value: unknown) => void, reject })
        worker.postMessage({ id, method, args } satisfies Request, transfer)
      })
    },
    on: (event, listener) => void listeners.set(event, listener),
    ended,
    async terminate() {
      await worker.terminate()
    },
  }
}

/** The worker's side: answers calls, one after the other, with the given methods. Returns `emit`. */
export function serveWorker<M extends Methods>(methods: M): (event: string, value: unknown) => void {
  const port = parentPort as MessagePort
  let last: Promise<void> = Promise.resolve()
  port.on('message', ({ id, method, args }: Request) => {
    last = last.then(async () => {
      try {
        const run = methods[method] as unknown as (...args: unknown[]) => unknown
        port.postMessage({ id, value: await run(...args) } satisfies Reply)
      } catch (error) {
        port.postMessage({ id, error: carry(error) } satisfies Reply)
      }
    })
  })
  return (event, value) => port.postMessage({ event, value } satisfies Reply)
}

function carry(error: unknown): CarriedError {
  const { name, message, code } = error as Error & { code?: string }
  const known = error instanceof AppError ? error : undefined
  return { name, message: message ?? String(error), code, hint: known?.hint, exit: known?.exit }
}

function revive(carried: CarriedError): Error {
  if (carried.name === 'AppError' && carried.code !== undefined) {
    return new AppError(carried.code, carried.message, {
      ...(carried.hint === undefined ? {} : { hint: carried.hint }),
      ...(carried.exit === undefined ? {} : { exit: carried.exit }),
    })
  }
  return Object.assign(new Error(carried.message), { name: carried.name, code: carried.code })
}

// Standard output of the commands. A reader that went away (`| head`) is no error.

/** Resolves when the text is written, or nobody reads any more. */
export function print(text: string, stream: NodeJS.WritableStream = process.stdout): Promise<void> {
  if (text === '') return Promise.resolve()
  return new Promise((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException) => (error.code === 'EPIPE' ? resolve() : reject(error))
    stream.once('error', fail)
    stream.write(text, (error) => {
      // After an error its event is still to come.
      if (error) return
      stream.removeListener('error', fail)
      resolve()
    })
  })
}

/**
 * Runs `stop` once on SIGTERM or SIGINT and ends the process: with 0, or with 1 where stopping
 * fails, takes longer than the deadline, or is asked for a second time.
 */
export function onTermination(
  stop: () => Promise<void>,
  options: { readonly deadlineMs: number; readonly onFailure: (cause: unknown) => void },
): void {
  let stopping = false;
  const terminate = () => {
    if (stopping) process.exit(1);
    stopping = true;
    setTimeout(() => {
      options.onFailure(new Error(`not stopped within ${options.deadlineMs} ms`));
      process.exit(1);
    }, options.deadlineMs).unref();
    stop().then(
      () => process.exit(0),
      (cause: unknown) => {
        options.onFailure(cause);
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', terminate);
  process.on('SIGINT', terminate);
}

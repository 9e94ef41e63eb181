const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Has the process end in its own way when it is asked to; the returned function ends that. */
export function onInterruption(act: () => void): () => void {
  for (const signal of signals) process.on(signal, act);
  return () => {
    for (const signal of signals) process.off(signal, act);
  };
}

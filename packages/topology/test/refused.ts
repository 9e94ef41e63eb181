import { TopologyError } from '@isobar/topology';

/** The error with which a call is refused. */
export function refused(run: () => unknown): TopologyError {
  try {
    run();
  } catch (error) {
    if (error instanceof TopologyError) return error;
    throw error;
  }
  throw new Error('was not refused');
}

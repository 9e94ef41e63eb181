import type { Fault } from './fault.js';

/** Somebody cancels what is under way. */
export const cancellation: Fault = {
  name: 'cancellation',
  strike: (world) => world.operator.ask({ kind: 'cancel' }),
};

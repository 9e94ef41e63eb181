/** Where a process of a cluster runs: its network. */
export interface Placement {
  /** Address at which the others reach it. */
  readonly host: string;
  /** Command that runs the process's, as `ip netns exec NAME` does; empty for none. */
  readonly commandPrefix: readonly string[];
}

export const loopbackPlacement: Placement = {
  host: '127.0.0.1',
  commandPrefix: [],
};

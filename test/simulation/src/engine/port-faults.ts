/** What may go wrong on the way between an engine and its agent; set by the faults of a run. */
export interface PortFaults {
  /**
   * What becomes of the next command: `command-lost`: the connection breaks before it arrives;
   * `answer-lost`: it breaks once the engine has carried it out; `answered-twice`: the second time
   * a while later; `agent-pauses`: the agent stands still as soon as it has sent it.
   */
  nextCommand: 'command-lost' | 'answer-lost' | 'answered-twice' | 'agent-pauses' | null;
  /** The agent reads so much later what the engine sends. */
  lagMs: number;
  /** The next greeting takes so long, 0: no longer than any. */
  nextGreetingMs: number;
  /** The engine stands still so long once it has answered the next greeting, 0: it does not. */
  pauseOnceGreetedMs: number;
}

export const noPortFaults: PortFaults = {
  nextCommand: null,
  lagMs: 0,
  nextGreetingMs: 0,
  pauseOnceGreetedMs: 0,
};

import { Worker } from 'node:worker_threads';
import { EplbError } from './eplb-error.js';
import type { PlanAnswer, PlannerMessage, PlanQuestion } from './planner-messages.js';

/** A thread loads its modules in a fraction of a second, but for a machine that has no time for it. */
const startDeadlineMs = 60_000;

interface Awaited {
  readonly resolve: (message: PlannerMessage) => void;
  readonly reject: (error: EplbError) => void;
}

/** A worker thread that plans. Once it has failed it is of no further use: the next plan makes another. */
export class PlannerThread {
  readonly #worker = new Worker(new URL('./planner-worker.js', import.meta.url));
  readonly #started: Promise<PlannerMessage>;
  #awaited: Awaited | null = null;
  #failure: EplbError | null = null;

  constructor() {
    this.#worker.on('message', (message: PlannerMessage) => this.#awaited?.resolve(message));
    this.#worker.on('error', (cause: unknown) => this.#fail(workerFailed('threw', cause)));
    this.#worker.on('exit', (code) => this.#fail(workerFailed(`exited with ${code}`)));
    this.#started = this.#next(startDeadlineMs, () => {
      const text = `the planner's worker was not ready within ${startDeadlineMs} ms`;
      return new EplbError('ISOBAR_EPLB_WORKER_START', text, { startDeadlineMs });
    });
    // Whoever asks hears of it.
    this.#started.catch(() => undefined);
  }

  get hasFailed(): boolean {
    return this.#failure !== null;
  }

  /**
   * One question at a time.
   * @param deadlineMs for the plan alone, from when the thread is ready
   * @throws EplbError ISOBAR_EPLB_WORKER_START, ISOBAR_EPLB_PLAN_DEADLINE, ISOBAR_EPLB_WORKER_FAILED
   */
  async ask(
    question: PlanQuestion,
    transfer: readonly ArrayBuffer[],
    deadlineMs: number,
  ): Promise<PlanAnswer> {
    await this.#started;
    if (this.#failure !== null) throw this.#failure;
    this.#worker.postMessage(question, [...transfer]);
    const answer = await this.#next(deadlineMs, () => {
      const text = `no plan within ${deadlineMs} ms`;
      return new EplbError('ISOBAR_EPLB_PLAN_DEADLINE', text, { planDeadlineMs: deadlineMs });
    });
    if (answer === 'ready') throw workerFailed('began anew');
    return answer;
  }

  /** What waits is rejected. */
  async stop(): Promise<void> {
    await this.#worker.terminate();
  }

  #next(deadlineMs: number, late: () => EplbError): Promise<PlannerMessage> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#fail(late()), deadlineMs);
      const settle = (act: () => void) => {
        clearTimeout(timer);
        this.#awaited = null;
        act();
      };
      this.#awaited = {
        resolve: (message) => settle(() => resolve(message)),
        reject: (error) => settle(() => reject(error)),
      };
    });
  }

  #fail(error: EplbError): void {
    if (this.#failure !== null) return;
    this.#failure = error;
    const reject = () => this.#awaited?.reject(error);
    this.#worker.terminate().then(reject, reject);
  }
}

function workerFailed(how: string, cause?: unknown): EplbError {
  return new EplbError('ISOBAR_EPLB_WORKER_FAILED', `the planner's worker ${how}`, {}, { cause });
}

import { join } from 'node:path';
import { recordsBucket } from '@isobar/protocol';
import {
  compareRunsWithOracle,
  type Faults,
  type RankResults,
  readResults,
} from '@isobar/reference-engine';
import { Cluster, type ServiceScripts } from '@isobar/testing';
import { Acknowledgements } from './acknowledgements.js';
import { command } from './ask-any.js';
import { type CaseReport, caseReportSchema, emptyReport } from './case-report.js';
import { describeFailure, longestWithoutLeader, recover, settled, strike } from './case-run.js';
import type { ChaosCase } from './chaos-case.js';
import { chaosClusterOptions, type LeaseName, numNatsServers, numRanks } from './chaos-cluster.js';
import type { ChaosScene } from './chaos-scene.js';
import { ClusterWatch } from './cluster-watch.js';
import { createEnvironment, type EnvironmentName, removeEnvironment } from './environment.js';
import { contradictions } from './outcome-checks.js';
import { StoreProber } from './store-prober.js';
import { endViolations, tokenViolations } from './token-checks.js';

/** A phase that lasts for milliseconds may be over before a signal is there. */
const strikesMax = 8;
const commandDeadlineMs = 60_000;

export interface ChaosSessionOptions {
  readonly scripts: ServiceScripts;
  readonly lease: LeaseName;
  /** SessionJob.withoutLeaderMaxMs */
  readonly withoutLeaderMaxMs: number | null;
  readonly activation: ChaosCase['activation'];
  readonly environment: EnvironmentName;
  readonly engineFaults: Faults;
}

interface PendingReport {
  readonly chaosCase: ChaosCase;
  readonly report: CaseReport;
  /** Unix time at which it began. */
  readonly fromMs: number;
}

/**
 * One cluster under traffic, on which cases are run one after another: each begins and ends with one
 * version everywhere. Tokens are compared with the oracle when all are run.
 */
export class ChaosSession {
  readonly #scene: ChaosScene;
  readonly #withoutLeaderMaxMs: number | null;
  readonly #probers: readonly StoreProber[];
  readonly #pending: PendingReport[] = [];

  private constructor(
    scene: ChaosScene,
    probers: readonly StoreProber[],
    withoutLeaderMaxMs: number | null,
  ) {
    this.#scene = scene;
    this.#withoutLeaderMaxMs = withoutLeaderMaxMs;
    this.#probers = probers;
  }

  static async start(options: ChaosSessionOptions): Promise<ChaosSession> {
    const { scripts, lease, activation, engineFaults } = options;
    const environment = await createEnvironment(options.environment);
    const { network, disks } = environment;
    let cluster: Cluster | null = null;
    try {
      cluster = await Cluster.start(
        chaosClusterOptions({
          scripts,
          lease,
          activation,
          engineFaults,
          ...(network && { placementOf: (name) => network.placementOf(name) }),
          ...(disks && { storeDirectoryOf: (name) => disks.directoryOf(name) }),
        }),
      );
      const watch = await ClusterWatch.connect(cluster.options.deployment, cluster.natsUrls);
      const acknowledgements = new Acknowledgements();
      const probers = await startProbers(cluster, acknowledgements);
      const scene = { cluster, watch, acknowledgements, lease, ...environment };
      return new ChaosSession(scene, probers, options.withoutLeaderMaxMs);
    } catch (error) {
      await cluster?.close();
      await removeEnvironment(environment);
      throw error;
    }
  }

  /** Folder of the cluster's logs. */
  get logDirectory(): string {
    return join(this.#scene.cluster.directory, 'logs');
  }

  /** @returns false where something is wrong: no further case belongs on this cluster */
  async run(chaosCase: ChaosCase, round: number): Promise<boolean> {
    const { lease, watch } = this.#scene;
    const fromMs = Date.now();
    const startedMs = performance.now();
    const report = emptyReport(chaosCase.name, lease, round);
    try {
      await command(watch, 'resume', commandDeadlineMs);
      await this.#strikeUntilMet(chaosCase, report);
      await command(watch, 'pause', commandDeadlineMs);
      report.mappingVersion = await settled(this.#scene, chaosCase);
      report.violations.push(...(await contradictions(watch, numNatsServers)));
    } catch (error) {
      report.violations.push(describeFailure(error));
    }
    const withoutLeaderMs = longestWithoutLeader(this.#scene, startedMs, performance.now());
    report.withoutLeaderMs = Math.round(withoutLeaderMs);
    report.storeStalledMs = Math.round(
      this.#scene.acknowledgements.stalledMs(startedMs, performance.now()),
    );
    const withoutLeaderMaxMs = this.#withoutLeaderMaxMs ?? Number.POSITIVE_INFINITY;
    if (withoutLeaderMs > withoutLeaderMaxMs) {
      const text = `without a leader for ${report.withoutLeaderMs} ms, stalls of the store not counted`;
      report.violations.push(text);
    }
    report.durationMs = Math.round(performance.now() - startedMs);
    this.#pending.push({ chaosCase, report, fromMs });
    for (const violation of report.violations) {
      process.stderr.write(`${chaosCase.name}, round ${round}: ${violation}\n`);
    }
    return report.violations.length === 0;
  }

  async #strikeUntilMet(
    chaosCase: ChaosCase,
    report: { strikes: number; recoveredMs: number; violations: string[] },
  ): Promise<void> {
    for (let met = false; !met; ) {
      if (report.strikes === strikesMax) {
        report.violations.push(`none of ${strikesMax} strikes met the phase ${chaosCase.phase}`);
        return;
      }
      met = await strike(this.#scene, chaosCase);
      report.strikes += 1;
      report.recoveredMs = Math.round(await recover(this.#scene, numMembersAfter(chaosCase)));
    }
  }

  /** Stops the engines and compares every token that was served with the oracle. */
  async conclude(): Promise<CaseReport[]> {
    const violationsOfAll: string[] = [];
    try {
      await this.#compareTokens(violationsOfAll);
    } catch (error) {
      violationsOfAll.push(describeFailure(error));
    }
    return this.#pending.map(({ report }) => {
      const violations = [...report.violations, ...violationsOfAll];
      return caseReportSchema.parse({ ...report, violations, ok: violations.length === 0 });
    });
  }

  async #compareTokens(violationsOfAll: string[]): Promise<void> {
    const { cluster } = this.#scene;
    const { checkpointDirectory, tracePath, resultsDirectory } = cluster;
    const stopAtMs = Date.now();
    await cluster.stopEngines();
    const ranks = Array.from({ length: numRanks }, (_, rank) => rank);
    const read = ranks.map((rank) => readResults(resultsDirectory, rank));
    const results = (await Promise.all(read)).flat();
    violationsOfAll.push(...endViolations(results));
    const cases = this.#pending.map((_, index) => this.#resultsOf(index, results, stopAtMs));
    const comparisons = await compareRunsWithOracle(checkpointDirectory, tracePath, cases);
    comparisons.forEach((comparison, index) => {
      const pending = this.#pending[index];
      if (pending === undefined) return;
      const { chaosCase, report } = pending;
      Object.assign(report, comparison);
      report.violations.push(...tokenViolations(chaosCase, comparison, cases[index] ?? []));
    });
  }

  /** Steps of one case's time. */
  #resultsOf(index: number, results: readonly RankResults[], stopAtMs: number): RankResults[] {
    // Of the time between two cases too, every token is compared.
    const fromMs = index === 0 ? 0 : (this.#pending[index]?.fromMs ?? 0);
    const toMs = this.#pending[index + 1]?.fromMs ?? Number.POSITIVE_INFINITY;
    return results.map((rank) => ({
      ...rank,
      // Engines stop one after another: what the last of them mask then is no fault.
      steps: rank.steps.filter(
        ({ startedAtMs, stepMillis }) =>
          startedAtMs >= fromMs && startedAtMs < toMs && startedAtMs + stepMillis < stopAtMs,
      ),
    }));
  }

  async close(): Promise<void> {
    await Promise.all(this.#probers.map((prober) => prober.stop()));
    await this.#scene.watch.close();
    await this.#scene.cluster.close();
    await removeEnvironment(this.#scene);
  }
}

function numMembersAfter({ fault }: ChaosCase): number {
  return fault === 'kill-for-good' ? numRanks - 1 : numRanks;
}

function startProbers(
  { natsUrls, options }: Cluster,
  acknowledgements: Acknowledgements,
): Promise<StoreProber[]> {
  const bucket = recordsBucket(options.deployment);
  return Promise.all(
    natsUrls.map((server, index) =>
      StoreProber.start({
        server,
        bucket,
        replicas: numNatsServers,
        key: `chaos-probe-${index}`,
        acknowledgements,
      }),
    ),
  );
}

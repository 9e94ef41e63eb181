import { setTimeout as delay } from 'node:timers/promises';
import { type CommittedRecord, IsobarError, mappingOfRecord } from '@isobar/protocol';
import type { ChaosCase } from './chaos-case.js';
import { leases, spareBuffers } from './chaos-cluster.js';
import type { ChaosScene } from './chaos-scene.js';
import { faults } from './fault.js';
import type { SeenPhase } from './swap-phase.js';
import { processesOf, streamServers } from './victim.js';

/** For a phase to come, and for whatever a fault leads to. */
const seenDeadlineMs = 90_000;
const flushDeadlineMs = 500;
/** What lasts, lasts this many leases. */
const faultLeases = 1.3;

/**
 * Waits for the case's phase, strikes, and heals once the fault has shown.
 * @returns whether the swap was in that phase, and did not go on before the fault had effect
 */
export async function strike(scene: ChaosScene, chaosCase: ChaosCase): Promise<boolean> {
  const { watch } = scene;
  const before = watch.phase;
  const servers = await streamServers(watch, seenDeadlineMs);
  const met = await watch.until(
    `a swap that is ${chaosCase.phase}`,
    () => {
      const { phase } = watch;
      if (phase === null || isSame(phase, before) || phase.phase !== chaosCase.phase) return null;
      const names = processesOf(chaosCase.victim, watch, servers);
      return names.length === 0 ? null : { phase, names };
    },
    seenDeadlineMs,
  );
  const atMs = performance.now();
  const fault = faults[chaosCase.fault];
  await fault.begin(scene, met.names);
  const stillMet = await holds(scene, chaosCase, met.phase);
  await shown(scene, chaosCase, atMs, met.phase.fence.term);
  await fault.end(scene, met.names);
  return stillMet;
}

/** Where the leader was struck: nothing later came from it. Others do not make phases end. */
async function holds(scene: ChaosScene, { victim }: ChaosCase, met: SeenPhase): Promise<boolean> {
  if (victim !== 'leader') return true;
  const { watch } = scene;
  // What it sent before is on its way; a server that is cut off itself has none of it.
  const flushed = watch.buses.map((bus) => Promise.race([bus.flush(), delay(flushDeadlineMs)]));
  await Promise.allSettled(flushed);
  const { phase } = watch;
  return phase === null || isSame(phase, met) || phase.fence.term > met.fence.term;
}

function isSame(left: SeenPhase, right: SeenPhase | null): boolean {
  if (right === null) return false;
  const { fence, version, phase } = right;
  return left.fence.term === fence.term && left.version === version && left.phase === phase;
}

/** Resolves once the fault has had its effect: it may end. */
async function shown(
  scene: ChaosScene,
  { victim, fault }: ChaosCase,
  sinceMs: number,
  termBefore: number,
): Promise<void> {
  const { watch, lease } = scene;
  if (victim === 'leader') {
    await watch.until(
      `a leader after term ${termBefore}`,
      () => ((watch.leading?.state.fence.term ?? 0) > termBefore ? true : null),
      seenDeadlineMs,
    );
  }
  if (!faults[fault].lasts) return;
  const untilMs = sinceMs + leases[lease].leaseMs * faultLeases;
  await delay(Math.max(0, untilMs - performance.now()));
}

/**
 * Waits for as many members as there are to be, and for a swap, begun from now on, that is committed
 * and complete.
 * @returns how long it took
 */
export async function recover(scene: ChaosScene, numMembers: number): Promise<number> {
  const { watch } = scene;
  const sinceMs = performance.now();
  await watch.until(
    `${numMembers} members, the engines that are there`,
    () => {
      const members = newestRecord(scene)?.members ?? [];
      const there = members.filter(
        ({ rank, incarnation }) => watch.reports.get(rank)?.engine?.incarnation === incarnation,
      );
      return members.length === numMembers && there.length === numMembers ? true : null;
    },
    seenDeadlineMs,
  );
  const { version = 0 } = watch.phase ?? {};
  await watch.until(
    `a swap after version ${version} that is committed and complete`,
    () => (completedAfter(scene, version) ? true : null),
    seenDeadlineMs,
  );
  return performance.now() - sinceMs;
}

/**
 * Whether every member has activated and retired one of the committed versions after `version`: later
 * ones may be under way already, and what is told of it may be lost.
 */
function completedAfter(scene: ChaosScene, version: number): boolean {
  const { watch } = scene;
  const members = newestRecord(scene)?.members ?? [];
  const completed = members.map(({ rank, incarnation }) => {
    const engine = watch.reports.get(rank)?.engine;
    if (engine?.incarnation !== incarnation) return Number.NEGATIVE_INFINITY;
    return Math.min(engine.activatedVersion, engine.retiredUpTo);
  });
  if (completed.length === 0) return false;
  return watch.committedBetween(version, Math.min(...completed));
}

/** The newest committed record that its leader has told of; null where it has not been heard. */
function newestRecord({ watch }: ChaosScene): CommittedRecord | null {
  const newest = watch.leading?.state.newest;
  if (newest === undefined) return null;
  const told = watch.outcomes.get(newest.version)?.get(newest.digest);
  return told?.outcome === 'committed' ? told : null;
}

/**
 * Waits until nothing is under way and every member routes by the newest version alone.
 * @returns that version
 */
export function settled(scene: ChaosScene, { activation }: ChaosCase): Promise<number> {
  const { watch } = scene;
  // In place a slot keeps its own buffer, also while it is empty.
  const emptyBuffers = activation === 'in-place' ? () => 0 : emptySlots;
  return watch.until(
    'one version everywhere, and no buffer kept',
    () => {
      if (watch.leading?.state.open !== null) return null;
      const newest = newestRecord(scene);
      if (newest === null) return null;
      const { version, digest, members } = newest;
      const settled = members.every(({ rank, incarnation }) => {
        const engine = watch.reports.get(rank)?.engine;
        return (
          engine?.incarnation === incarnation &&
          engine.standing === 'serving' &&
          engine.mappingVersion === version &&
          engine.mappingDigest === digest &&
          engine.activatedVersion === version &&
          engine.retiredUpTo === version &&
          engine.openVote === null &&
          engine.freeBuffers === spareBuffers + emptyBuffers(newest, rank)
        );
      });
      return settled ? version : null;
    },
    seenDeadlineMs,
  );
}

/** Slots of a rank without an expert, over all layers. */
function emptySlots(record: CommittedRecord, rank: number): number {
  const mapping = mappingOfRecord(record);
  let empty = 0;
  for (let layer = 0; layer < mapping.numLayers; layer += 1) {
    mapping.row(layer).forEach((expert, slot) => {
      if (expert < 0 && mapping.rankOfSlot(slot) === rank) empty += 1;
    });
  }
  return empty;
}

/** The longest time without a sign of a leader, stalls of the store not counted. */
export function longestWithoutLeader(
  { watch, acknowledgements }: ChaosScene,
  fromMs: number,
  toMs: number,
): number {
  let longestMs = 0;
  let last = fromMs;
  for (const { atMs } of [...watch.heartbeats, { atMs: toMs }]) {
    if (atMs < fromMs || atMs > toMs) continue;
    longestMs = Math.max(longestMs, atMs - last - acknowledgements.stalledMs(last, atMs));
    last = atMs;
  }
  return longestMs;
}

export function describeFailure(error: unknown): string {
  if (error instanceof IsobarError) return `${error.code}: ${error.message}`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

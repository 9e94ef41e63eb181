import { isIP } from 'node:net';
import { deploymentSchema, IsobarError, limits, personSchema, type Role } from '@isobar/protocol';
import type { Certificate } from './certificate-authority.js';

/** How processes prove to NATS who they are. */
export const authenticationKinds = ['password', 'nkey', 'tls'] as const;
export type AuthenticationKind = (typeof authenticationKinds)[number];

/** What a set of credentials is made for. */
export interface AuthenticationPlan {
  readonly kind: AuthenticationKind;
  readonly deployment: string;
  readonly numRanks: number;
  readonly numCoordinators: number;
  /** Names of people or programs. */
  readonly operators: readonly string[];
  readonly viewers: readonly string[];
  /** Host names and addresses by which clients reach the NATS servers. */
  readonly hosts: readonly string[];
  readonly port: number;
  /**
   * Host names and addresses by which the servers of a cluster reach each other, one each; empty for
   * a single server.
   */
  readonly routes: readonly string[];
  /** Folder in which the NATS servers keep records. */
  readonly storeDirectory: string;
  /** Absolute path of the folder in which the set's folders will lie when it is used. */
  readonly installedAt: string;
  /** Days for which certificates hold. */
  readonly validDays: number;
  /**
   * Authority that signs the certificates; a new one where null. Deployments that share servers need
   * one in common: of two, each could name users of the other.
   */
  readonly authority: Certificate | null;
}

export const authenticationLimits = {
  coordinators: 16,
  people: 256,
  hosts: 64,
  validDays: 3_650,
} as const;

/** @throws IsobarError ISOBAR_AUTH_PLAN naming the field */
export function assertPlan(plan: AuthenticationPlan): void {
  const { ranks } = limits;
  const { coordinators, people, hosts, validDays } = authenticationLimits;
  check('deployment', deploymentSchema.safeParse(plan.deployment).success, 'is no valid name');
  assertCount('numRanks', plan.numRanks, ranks);
  assertCount('numCoordinators', plan.numCoordinators, coordinators);
  assertCount('port', plan.port, 65_535);
  assertCount('validDays', plan.validDays, validDays);
  for (const field of ['operators', 'viewers'] as const) {
    const names = plan[field];
    check(field, names.length <= people, `has over ${people} names`);
    check(field, new Set(names).size === names.length, 'names somebody twice');
    const valid = names.every((name) => personSchema.safeParse(name).success);
    check(field, valid, 'has a name that is not 1 to 32 letters, digits, _ or -');
  }
  check('hosts', plan.hosts.length > 0, `must be 1 to ${hosts} names or addresses`);
  for (const field of ['hosts', 'routes'] as const) {
    const names = plan[field];
    check(field, names.length <= hosts, `has over ${hosts} names or addresses`);
    check(field, names.every(isHost), 'has something that is no host name or address');
  }
  check('installedAt', plan.installedAt.startsWith('/'), 'must be an absolute path');
}

function assertCount(field: keyof AuthenticationPlan, value: number, most: number): void {
  const fits = Number.isInteger(value) && value >= 1 && value <= most;
  check(field, fits, `must be a whole number from 1 to ${most}`);
}

function isHost(host: string): boolean {
  return isIP(host) !== 0 || /^(?!-)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63}){0,9}$/.test(host);
}

function check(field: keyof AuthenticationPlan, holds: boolean, why: string): void {
  if (!holds) throw new IsobarError('ISOBAR_AUTH_PLAN', `${field} ${why}`, { field });
}

/** Everybody who gets credentials. */
export function rolesOf(
  plan: Pick<AuthenticationPlan, 'numRanks' | 'numCoordinators' | 'operators' | 'viewers'>,
): Role[] {
  const count = (length: number) => Array.from({ length }, (_, index) => index);
  return [
    ...count(plan.numRanks).map((rank): Role => ({ kind: 'agent', rank })),
    ...count(plan.numCoordinators).map((index): Role => ({ kind: 'coordinator', index })),
    ...plan.operators.map((person): Role => ({ kind: 'operator', person })),
    ...plan.viewers.map((person): Role => ({ kind: 'viewer', person })),
  ];
}

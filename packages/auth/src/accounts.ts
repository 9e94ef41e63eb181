import {
  accountOf,
  clusterAccount,
  operatorsAccount,
  permissionsOf,
  type Role,
  roleName,
  type SharedService,
  sharedSubjectsOf,
} from '@isobar/protocol';
import type { ConfigurationFields } from './nats-configuration.js';

/** By what the server knows a user: fields of its entry in the configuration. */
export type UserProof =
  /** `password` is a bcrypt hash. */
  | { readonly user: string; readonly password: string }
  | { readonly nkey: string }
  /** Subject of its certificate. */
  | { readonly user: string };

/** For an answer to a question; an agent's waits until its engine has been asked. */
const answerWithin = '1m';

/** Records are small and few; what a deployment may take of the servers is bounded. Bytes. */
const recordsLimits = {
  max_memory: 64 * 2 ** 20,
  max_file: 2 ** 30,
  max_streams: 4,
  max_consumers: 64,
} as const;

/** User name of a role: unique on a server of several deployments. */
export function userName(deployment: string, role: Role): string {
  return `${roleName(role)}.${deployment}`;
}

/** The two accounts of a deployment with their users, as the field `accounts` of nats-server. */
export function accountsConfiguration(
  deployment: string,
  roles: readonly Role[],
  proofOf: (role: Role) => UserProof,
): ConfigurationFields {
  const cluster = clusterAccount(deployment);
  const operators = operatorsAccount(deployment);
  const { services, streams } = sharedSubjectsOf(deployment);
  const users = (account: string) =>
    roles
      .filter((role) => accountOf(deployment, role) === account)
      .map((role) => ({
        ...proofOf(role),
        permissions: permissionsConfiguration(deployment, role),
      }));
  return {
    [cluster]: {
      jetstream: recordsLimits,
      users: users(cluster),
      exports: [
        ...services.map((service) => exportService(service, operators)),
        ...streams.map((stream) => ({ stream, accounts: [operators] })),
      ],
    },
    [operators]: {
      users: users(operators),
      imports: [
        ...services.map(({ subject, importedAs, share }) => ({
          service: { account: cluster, subject },
          ...(importedAs === subject ? {} : { to: importedAs }),
          ...(share ? { share } : {}),
        })),
        ...streams.map((subject) => ({ stream: { account: cluster, subject } })),
      ],
    },
  };
}

function exportService({ subject, answers }: SharedService, account: string): ConfigurationFields {
  const many: ConfigurationFields = answers === 'many' ? { response_type: 'Stream' } : {};
  return { service: subject, accounts: [account], ...many };
}

function permissionsConfiguration(deployment: string, role: Role): ConfigurationFields {
  const permissions = permissionsOf(deployment, role);
  const { publish, request, subscribe, answer, inboxPrefix } = permissions;
  return {
    publish: { allow: [...publish, ...request] },
    subscribe: { allow: [...subscribe, ...answer, `${inboxPrefix}.>`] },
    ...(answer.length > 0 ? { allow_responses: { max: 1, expires: answerWithin } } : {}),
  };
}

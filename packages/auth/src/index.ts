export { accountsConfiguration, type UserProof, userName } from './accounts.js';
export {
  type AuthenticationKind,
  type AuthenticationPlan,
  authenticationKinds,
  authenticationLimits,
  rolesOf,
} from './authentication-plan.js';
export {
  type AuthenticationSet,
  authorityFiles,
  contextFileName,
  createAuthenticationSet,
} from './authentication-set.js';
export { type Certificate, certificateSubject } from './certificate-authority.js';
export { type ConfigurationFields, formatConfiguration } from './nats-configuration.js';
export {
  accountsFileName,
  formatAccounts,
  formatServerConfiguration,
} from './server-configuration.js';

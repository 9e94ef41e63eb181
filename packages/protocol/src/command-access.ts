/** What a command of a deployment's micro service does: `read` changes nothing. */
export type CommandAccess = 'read' | 'change';

/** Every command, by its name. Viewers may read; operators may do both. */
export const commandAccess = {
  status: 'read',
  plan: 'read',
  mapping: 'read',
  approve: 'change',
  mode: 'change',
  pause: 'change',
  resume: 'change',
  cancel: 'change',
  rollback: 'change',
  drain: 'change',
  undrain: 'change',
  leave: 'change',
  'declare-dead': 'change',
} as const satisfies Readonly<Record<string, CommandAccess>>;

export type CommandName = keyof typeof commandAccess;

export const commandNames = Object.keys(commandAccess) as readonly CommandName[];

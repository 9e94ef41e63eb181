import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { permissionsOf, type Role } from '@isobar/protocol';
import { describe, expect, it } from 'vitest';

const path = fileURLToPath(new URL('../../docs/SECURITY.md', import.meta.url));
const rows = new Map(
  readFileSync(path, 'utf8')
    .split('\n')
    // The table of roles alone has five columns.
    .filter((line) => line.split('|').length === 7)
    .map((line) => [line.split('|')[1]?.trim(), line]),
);
const roles: readonly (readonly [string, Role])[] = [
  ['agent of rank N', { kind: 'agent', rank: 7 }],
  ['coordinator', { kind: 'coordinator', index: 0 }],
  ['operator', { kind: 'operator', person: 'alice' }],
  ['viewer', { kind: 'viewer', person: 'grafana' }],
];

/** As the document writes it: commands of all, and service discovery, have a name in common. */
function written(subject: string): string {
  return subject
    .replace('isobar.v1.D.', '')
    .replace('isobar-D', 'BUCKET')
    .replace(/(?<=[.])7(?=$|[.])/, 'N');
}

describe('docs/SECURITY.md', () => {
  it.each(roles)('names every subject of the %s, and no other', (name, role) => {
    const { publish, request, subscribe, answer } = permissionsOf('D', role);
    const all = [...publish, ...request, ...subscribe, ...answer].map(written);
    const commands = name !== 'viewer' && all.some((subject) => subject.startsWith('command.'));
    const expected = all.filter(
      (subject) => !subject.startsWith('$SRV.') && !(commands && subject.startsWith('command.')),
    );
    if (all.some((subject) => subject.startsWith('$SRV.'))) expected.push('$SRV');
    const row = rows.get(name) ?? '';
    const told = [...row.matchAll(/`([^`]+)`/g)].map(([, subject]) => subject);
    expect(told.sort()).toEqual(expected.sort());
    expect(row.includes('all commands')).toBe(commands);
  });
});

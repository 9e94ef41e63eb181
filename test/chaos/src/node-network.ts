import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Placement } from '@isobar/testing';
import { isGone, runCommand, withoutRoot } from './run-command.js';

/**
 * Machines of the cluster: two of control and one more server, so that any of the three can be cut
 * off and the others still reach every agent and two of the servers; and two of ranks.
 */
const nodes = ['control-0', 'control-1', 'control-2', 'ranks-0', 'ranks-1'] as const;
type Node = (typeof nodes)[number];

const ranksOfNode = 4;
const prefix = 'isobar-chaos';
/** A bridge that joins the nodes has this host number in their network. */
const bridgeHost = 1;

/**
 * Each node's processes in a network namespace of its own, all on one bridge. A cut takes the node's
 * cable: connections are not closed, nothing arrives. Engines reach one another through sockets of
 * the file system, as over a fabric of their own, which is not cut.
 */
export class NodeNetwork {
  readonly #subnet: string;
  readonly #ready = spawn('ip', ['-force', '-batch', '-'], {
    stdio: ['pipe', 'ignore', 'inherit'],
  });

  private constructor(subnet: string) {
    this.#subnet = subnet;
  }

  /** Why there can be none on this machine; null where there can. */
  static async missing(): Promise<string | null> {
    const why = withoutRoot('a network of namespaces');
    if (why !== null) return why;
    return runCommand('ip', 'netns', 'list').then(
      () => null,
      () => 'there is no ip command with netns (iproute2)',
    );
  }

  /** Of runs that were killed: nothing else removes them. */
  static async removeLeftovers(): Promise<void> {
    const listed = await runCommand('ip', 'netns', 'list');
    const owners = [...listed.matchAll(new RegExp(`^${prefix}-(\\d+)-`, 'gm'))].map(([, pid]) =>
      Number(pid),
    );
    for (const owner of new Set(owners)) if (isGone(owner)) await removeOf(owner);
  }

  static async create(): Promise<NodeNetwork> {
    // Of the range that is kept for measurements of networks: nobody's own.
    const network = new NodeNetwork(await freeSubnet());
    try {
      await network.#create();
      return network;
    } catch (error) {
      await network.remove();
      throw error;
    }
  }

  async #create(): Promise<void> {
    await runCommand('ip', 'link', 'add', bridgeName, 'type', 'bridge');
    await runCommand('ip', 'addr', 'add', `${this.#subnet}.${bridgeHost}/24`, 'dev', bridgeName);
    await runCommand('ip', 'link', 'set', bridgeName, 'up');
    if (await isFiltered()) await runCommand('iptables', '-w', '-I', ...passing(bridgeName));
    for (const node of nodes) {
      const namespace = namespaceOf(node);
      const [outside, inside] = [cableOf(node), 'eth0'];
      await runCommand('ip', 'netns', 'add', namespace);
      await runCommand(
        'ip',
        'link',
        'add',
        outside,
        'type',
        'veth',
        'peer',
        'name',
        inside,
        'netns',
        namespace,
      );
      await runCommand('ip', 'link', 'set', outside, 'master', bridgeName, 'up');
      await runCommand(
        'ip',
        '-n',
        namespace,
        'addr',
        'add',
        `${this.#hostOf(node)}/24`,
        'dev',
        inside,
      );
      await runCommand('ip', '-n', namespace, 'link', 'set', inside, 'up');
      await runCommand('ip', '-n', namespace, 'link', 'set', 'lo', 'up');
    }
  }

  #hostOf(node: Node): string {
    return `${this.#subnet}.${bridgeHost + 1 + nodes.indexOf(node)}`;
  }

  /** For Cluster's option. */
  placementOf(processName: string): Placement {
    const node = nodeOf(processName);
    const commandPrefix = ['ip', 'netns', 'exec', namespaceOf(node)];
    return { host: this.#hostOf(node), commandPrefix };
  }

  /** The node of that process hears nobody, and is heard by nobody. */
  async cut(processName: string): Promise<void> {
    // Phases last for milliseconds, and a command takes some to start: one waits, started.
    this.#ready.stdin?.write(`link set ${cableOf(nodeOf(processName))} down\n`);
    await runCommand('ip', 'link', 'set', cableOf(nodeOf(processName)), 'down');
  }

  async join(processName: string): Promise<void> {
    await runCommand('ip', 'link', 'set', cableOf(nodeOf(processName)), 'up');
  }

  async remove(): Promise<void> {
    this.#ready.stdin?.end();
    await removeOf(process.pid);
  }
}

/** Several clusters may run at a time. */
async function freeSubnet(): Promise<string> {
  const taken = await runCommand('ip', '-o', '-4', 'addr', 'show');
  for (;;) {
    const subnet = `198.18.${randomInt(256)}`;
    if (!taken.includes(` ${subnet}.`)) return subnet;
  }
}

function nodeOf(processName: string): Node {
  const [kind, text] = processName.split('-');
  const index = Number(text);
  const name =
    kind === 'nats' || kind === 'coordinator'
      ? `control-${index}`
      : `ranks-${Math.floor(index / ranksOfNode)}`;
  const node = nodes.find((known) => known === name);
  if (node === undefined) throw new Error(`no node for the process ${processName}`);
  return node;
}

const namespaceOf = (node: Node) => `${prefix}-${process.pid}-${node}`;
/** Names of interfaces have 15 characters at most. */
const bridgeName = `icb${process.pid}`;
const cableOf = (node: Node) => `icv${process.pid}n${nodes.indexOf(node)}`;

async function removeOf(owner: number): Promise<void> {
  const listed = await runCommand('ip', 'netns', 'list');
  for (const [namespace] of listed.matchAll(new RegExp(`^${prefix}-${owner}-\\S+`, 'gm'))) {
    // Its cables go with it.
    await runCommand('ip', 'netns', 'delete', namespace);
  }
  const bridge = `icb${owner}`;
  const links = await runCommand('ip', '-o', 'link', 'show', 'type', 'bridge');
  if (links.includes(`${bridge}:`)) await runCommand('ip', 'link', 'delete', bridge);
  if (!(await isFiltered())) return;
  const rules = await runCommand('iptables', '-w', '-S', 'FORWARD');
  if (rules.includes(` ${bridge} `)) await runCommand('iptables', '-w', '-D', ...passing(bridge));
}

/** Docker has the firewall drop what crosses a bridge that is not its own. */
async function isFiltered(): Promise<boolean> {
  try {
    return (await readFile('/proc/sys/net/bridge/bridge-nf-call-iptables', 'utf8')).trim() === '1';
  } catch {
    // The kernel's module for it is not loaded.
    return false;
  }
}

function passing(bridge: string): string[] {
  return ['FORWARD', '-i', bridge, '-o', bridge, '-j', 'ACCEPT'];
}

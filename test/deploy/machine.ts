import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ProcessGuard } from '@isobar/testing';
import { vi } from 'vitest';

const run = promisify(execFile);
const bootDeadlineMs = 120_000;
const commandDeadlineMs = 120_000;

/** Of the older kind, systemd has a hierarchy of its own. */
const hasOlderGroups = existsSync('/sys/fs/cgroup/systemd');
const groups = hasOlderGroups ? '/sys/fs/cgroup/systemd' : '/sys/fs/cgroup';

/** Enters a group of its own, and namespaces of their own. */
const enter = `echo $$ > "$GROUP/cgroup.procs"
exec unshare --mount --pid --fork --kill-child=KILL --uts --ipc --net --cgroup sh -c "$BOOT"`;

/** Within: a root over the one that is only read, and systemd as the first process. */
const boot = `set -e
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$HOME/upper,workdir=$HOME/work" "$HOME/root"
cd "$HOME/root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for name in null zero full random urandom tty; do touch dev/$name; mount --bind /dev/$name dev/$name; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs tmpfs dev/shm
${
  hasOlderGroups
    ? `mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
mkdir sys/fs/cgroup/systemd
mount -t cgroup -o none,name=systemd,xattr cgroup sys/fs/cgroup/systemd`
    : 'mount -t cgroup2 cgroup2 sys/fs/cgroup'
}
# A changed root would not do: within one nobody may have a user namespace.
pivot_root . mnt
umount --lazy /mnt
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /sbin/init`;

export interface Ran {
  readonly code: number;
  /** Standard output and error. */
  readonly output: string;
}

/**
 * A machine within this one: its own files, processes, host name and network, and systemd, booted. Nothing of
 * it is left, and nothing of this machine is changed.
 */
export class Machine {
  readonly #guard: ProcessGuard;
  readonly #unshare: ChildProcess;
  readonly #group: string;
  #firstProcess = 0;

  private constructor(guard: ProcessGuard, unshare: ChildProcess, group: string) {
    this.#guard = guard;
    this.#unshare = unshare;
    this.#group = group;
  }

  /** @param lower folder of its files, which is only read */
  static async boot(lower: string): Promise<Machine> {
    const guard = new ProcessGuard();
    const home = await mkdtemp(join(tmpdir(), 'isobar-machine-'));
    guard.removeAtEnd(home);
    for (const name of ['upper', 'work', 'root']) await mkdir(join(home, name));
    const group = join(groups, `isobar-machine-${process.pid}`);
    await mkdir(group);
    const { PATH } = process.env;
    const child = spawn('sh', ['-c', enter], {
      env: { PATH, LOWER: lower, HOME: home, GROUP: group, BOOT: boot },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    guard.watch(child.pid ?? 0);
    const machine = new Machine(guard, child, group);
    try {
      await machine.#booted();
      return machine;
    } catch (error) {
      await machine.close();
      throw error;
    }
  }

  async #booted(): Promise<void> {
    const waits = { timeout: bootDeadlineMs, interval: 100 };
    await vi.waitFor(async () => {
      const { pid } = this.#unshare;
      const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
      const name = await readFile(`/proc/${children.trim()}/comm`, 'utf8');
      if (name !== 'systemd\n') throw new Error(`the machine's first process is ${name}`);
      this.#firstProcess = Number(children);
    }, waits);
    // Its bus is not there from the start.
    await vi.waitFor(async () => {
      const { output } = await this.run('systemctl', 'is-system-running', '--wait');
      if (!/^(running|degraded)/.test(output)) throw new Error(`the machine is ${output}`);
    }, waits);
  }

  /** Runs a command in it. */
  async run(...command: readonly string[]): Promise<Ran> {
    const namespaces = ['--mount', '--uts', '--ipc', '--net', '--pid', '--cgroup'];
    const where = ['--target', `${this.#firstProcess}`, ...namespaces, '--root'];
    const env = [
      'env',
      '-i',
      '--chdir=/root',
      'PATH=/usr/sbin:/usr/bin:/sbin:/bin',
      'LC_ALL=C.UTF-8',
      'HOME=/root',
    ];
    const options = { timeout: commandDeadlineMs, maxBuffer: 2 ** 24 };
    try {
      const args = [...where, '--', ...env, ...command];
      const { stdout, stderr } = await run('nsenter', args, options);
      return { code: 0, output: stdout + stderr };
    } catch (error) {
      const failed = error as { code?: unknown; stdout?: string; stderr?: string };
      if (typeof failed.code !== 'number') throw error;
      return { code: failed.code, output: `${failed.stdout}${failed.stderr}` };
    }
  }

  /** Likewise, where it must succeed. @returns what it said */
  async do(...command: readonly string[]): Promise<string> {
    const { code, output } = await this.run(...command);
    if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}: ${output}`);
    return output;
  }

  /** Puts a file of this machine into that one. */
  async put(file: string, path: string): Promise<void> {
    await cp(file, `/proc/${this.#firstProcess}/root${path}`, { recursive: true });
  }

  async write(path: string, content: string): Promise<void> {
    await this.do('sh', '-c', `printf '%s' "$1" > "$0"`, path, content);
  }

  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.#unshare.once('exit', resolve));
    if (this.#unshare.exitCode === null && this.#unshare.signalCode === null) {
      this.#unshare.kill('SIGKILL');
      await ended;
    }
    this.#guard.unwatch(this.#unshare.pid ?? 0);
    // Its processes end by and by.
    await vi.waitFor(() => removeGroup(this.#group), { timeout: 30_000, interval: 50 });
    await this.#guard.close();
  }
}

async function removeGroup(group: string): Promise<void> {
  for (const entry of await readdir(group, { withFileTypes: true })) {
    if (entry.isDirectory()) await removeGroup(join(group, entry.name));
  }
  await rmdir(group);
}

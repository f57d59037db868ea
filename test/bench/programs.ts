/** Owns the benchmarks' own programs: JavaScript, since a compiler in their process would be measured with them, in the nodes' network. */
import { once } from 'node:events';
import type { ChildProcess } from 'node:child_process';
import { readFile, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { execa } from 'execa';
import type { LocalNode, LocalNodes } from '../../deploy/local/nodes/nodes.ts';
import { cloneDir } from '../../deploy/local/parts/host.ts';
import { workerEnvironment } from '../../src/adapters/worker-process.ts';

const PROGRAMS = join(cloneDir, '.local/bench-programs');

export interface Program {
  /** Writes a line to its input. */
  say(line: string): void;
  /** The next line that it prints; throws when it ended. */
  line(): Promise<string>;
  /** Ends its input, and waits until it is gone. */
  end(): Promise<void>;
}

/** Once, before the first is started. */
export async function compilePrograms(onProgress: (line: string) => void): Promise<void> {
  onProgress('bench: compiling');
  await rm(PROGRAMS, { recursive: true, force: true });
  const options = [
    '--noEmit',
    'false',
    '--allowImportingTsExtensions',
    'false',
    '--outDir',
    PROGRAMS,
    '--rootDir',
    cloneDir,
  ];
  await execa(process.execPath, [join(cloneDir, 'node_modules/typescript/bin/tsc'), '-p', cloneDir, ...options]);
  await symlink(join(cloneDir, 'package.json'), join(PROGRAMS, 'package.json'));
  await readFile(join(PROGRAMS, 'test/bench/keyturn.js'));
}

/** Starts `test/bench/<program>` in the nodes' network. */
export function startProgram(nodes: LocalNodes, program: string, argument: unknown): Program {
  const file = join(PROGRAMS, 'test/bench', `${program}.js`);
  const argv = [process.execPath, '--no-warnings', file, JSON.stringify(argument)];
  return follow(
    program,
    nodes.execInHub(argv, {
      stdio: ['pipe', 'pipe', 'inherit'],
      cwd: cloneDir,
      env: workerEnvironment(process.env),
    }),
  );
}

function follow(name: string, child: ChildProcess): Program {
  const { stdin, stdout } = child;
  if (stdin === null || stdout === null) throw new Error('The program has no pipes.');
  const exited = once(child, 'exit');
  const lines = createInterface(stdout)[Symbol.asyncIterator]();
  return {
    say: (line) => void stdin.write(`${line}\n`),
    line: async () => {
      const next = await lines.next();
      if (next.done === true) throw new Error(`The benchmark's program "${name}" ended early.`);
      return next.value;
    },
    end: async () => {
      stdin.end();
      const [code] = (await exited) as [number | null];
      if (code !== 0) throw new Error(`The benchmark's program "${name}" failed.`);
    },
  };
}

/** root may log in, as classic scripts do. */
export async function letRootIn(nodes: LocalNodes, node: LocalNode): Promise<void> {
  const { stdout } = await node.exec(['cat', `/home/${nodes.ssh.user}/.ssh/authorized_keys`]);
  await node.write('/root/.ssh/authorized_keys', stdout, 0o600);
}

/** Runs a script on the node by ssh as root, as people do, with a file as its input; what it printed. */
export async function bySsh(nodes: LocalNodes, node: LocalNode, script: string, inputFile?: string): Promise<string> {
  const options = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR'];
  const ssh = nodes.imageProgram('usr/bin/ssh', [
    ...['-F', '/dev/null', '-i', nodes.ssh.keyFile, ...options.flatMap((option) => ['-o', option])],
    ...[`root@${node.address}`, script],
  ]);
  const [file, ...args] = nodes.inHub(ssh);
  const { stdout } = await execa(file, args, inputFile === undefined ? { stdin: 'ignore' } : { inputFile });
  return stdout;
}

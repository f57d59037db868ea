/** Owns what integration tests know of the local parts: the description that whoever started them wrote. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { LocalSftp } from '../../deploy/local/services/sftp.ts';
import type { NodeSpec } from '../../src/domain/cluster.ts';
import { clusterSpec } from './specs.ts';
import type { ClusterSpec } from '../../src/domain/cluster.ts';

export interface LocalNodeEnv {
  readonly name: string;
  readonly address: string;
  /** `SHA256:…` */
  readonly hostKey: string;
  /** The argv prefix that runs a command as root on the node, not by SSH. */
  readonly inside: readonly string[];
}

export interface LocalClusterEnv {
  readonly name: string;
  readonly etcdVersion: string;
  readonly nodes: readonly LocalNodeEnv[];
  /** A machine with sshd alone. */
  readonly bastion?: LocalNodeEnv;
}

export interface LocalEnv {
  readonly clusters: readonly LocalClusterEnv[];
  /** Good on every machine. */
  readonly ssh: { readonly user: string; readonly keyFile: string };
  readonly redis: { readonly url: string };
  readonly s3: {
    readonly endpoint: string;
    readonly accessKey: string;
    readonly secretKey: string;
    readonly bucket: string;
  };
  readonly sftp: Pick<LocalSftp, 'host' | 'port' | 'user' | 'path' | 'folder' | 'keyFile' | 'hostKey'>;
  /** Where test/support/control.ts asks for power, network and services. */
  readonly controlSocket: string;
  /** A Chromium for playwright-core. */
  readonly chromium: string;
}

/** Reads the JSON file that KEYTURN_TEST_ENV names; tests that need it run in the network of these machines. */
export function localEnv(): LocalEnv {
  const file = process.env['KEYTURN_TEST_ENV'];
  if (file === undefined) throw new Error('KEYTURN_TEST_ENV is not set: run these tests by "npm test".');
  return JSON.parse(readFileSync(file, 'utf8')) as LocalEnv;
}

export function localCluster(env: LocalEnv, etcdVersion: string): LocalClusterEnv {
  const found = env.clusters.find((cluster) => cluster.etcdVersion === etcdVersion);
  if (found === undefined) throw new Error(`There is no local cluster with etcd ${etcdVersion}.`);
  return found;
}

export function specOf(env: LocalEnv, node: LocalNodeEnv, ssh: Partial<NodeSpec['ssh']> = {}): NodeSpec {
  const { user, keyFile } = env.ssh;
  return {
    name: node.name,
    address: node.address,
    become: 'sudo',
    ssh: { user, port: 22, hostKeys: [node.hostKey], auth: { kind: 'key', keyFile }, ...ssh },
  };
}

export function clusterOf(env: LocalEnv, cluster: LocalClusterEnv, ssh: Partial<NodeSpec['ssh']> = {}): ClusterSpec {
  return { ...clusterSpec(cluster.nodes.map((node) => specOf(env, node, ssh))), name: cluster.name };
}

/** Runs `argv` as root on the node; throws with what it printed when it fails. */
export function asRootOn(
  node: LocalNodeEnv,
  argv: readonly string[],
  input: string | Uint8Array = '',
): Promise<string> {
  const [program = '', ...args] = [...node.inside, ...argv];
  return new Promise((resolve, reject) => {
    const child = execFile(program, args, { timeout: 60_000, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${argv.join(' ')} on ${node.name}: ${stderr || error.message}`));
    });
    // A command that fails early reads no input.
    child.stdin?.on('error', () => undefined).end(input);
  });
}

/** Writes a file on the node as root. */
export async function writeOn(node: LocalNodeEnv, path: string, text: string, mode = '644'): Promise<void> {
  await asRootOn(node, ['sh', '-c', 'cat > "$1" && chmod "$2" "$1"', 'sh', path, mode], text);
}

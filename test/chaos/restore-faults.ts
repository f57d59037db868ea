/** Owns what is done to nodes and to the snapshot while a restore runs, and how each of it is mended. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { LocalNode } from '../../deploy/local/nodes/nodes.ts';
import { STEPS_FOLDER } from '../../src/domain/restore/cleanup.ts';
import type { RestoreStage } from './restore-stage.ts';

export interface Fault {
  readonly what: string;
  readonly strike: (stage: RestoreStage, node: LocalNode) => Promise<void>;
  readonly mend: (stage: RestoreStage, node: LocalNode) => Promise<void>;
}

/** Runs a script as root on the node; throws with what it printed when it fails. */
export async function onNode(node: LocalNode, script: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await node.exec(['sh', '-c', script, 'sh', ...args]);
  if (code !== 0) throw new Error(`${node.name}: ${script}: ${stderr}${stdout}`);
  return stdout;
}

export const networkCut: Fault = {
  what: 'its network is cut',
  strike: (_, node) => node.linkDown(),
  mend: (_, node) => node.linkUp(),
};

/** Its etcd goes on; logins that are open end too. */
export const sshdStopped: Fault = {
  what: 'its sshd is stopped',
  strike: async (_, node) => {
    await onNode(
      node,
      'systemctl stop ssh.socket 2>/dev/null; systemctl stop ssh; for p in $(pgrep sshd); do kill -KILL "$p"; done',
    );
  },
  mend: async (_, node) => {
    await onNode(node, 'systemctl start ssh');
  },
};

/** The disk that has the records of steps: to be made small before the restore, see `smallRecords`. */
export const diskFull: Fault = {
  what: 'its disk is full',
  strike: async (_, node) => {
    await onNode(
      node,
      'dd if=/dev/zero of="$1/filler" bs=4k 2>/dev/null; sync; [ "$(df --output=avail "$1" | tail -1)" -eq 0 ]',
      STEPS_FOLDER,
    );
  },
  mend: async (_, node) => {
    await onNode(node, 'rm -f "$1/filler"', STEPS_FOLDER);
  },
};

/** The disk that has etcd's data, and the snapshot beside them: to be made small before the restore, see `smallData`. */
export const dataDiskFull: Fault = {
  what: "the disk of its etcd's data is full",
  strike: async ({ cluster: { dataDir } }, node) => {
    await onNode(node, 'dd if=/dev/zero of="${1%/*}/filler" bs=64k 2>/dev/null; sync', dataDir);
  },
  mend: async ({ cluster: { dataDir } }, node) => {
    await onNode(node, 'rm -f "${1%/*}/filler"', dataDir);
  },
};

/** Puts the folder around etcd's data on a disk of its own of 512 MiB: room for two of it, and not much more. */
export async function smallData(stage: RestoreStage, node: LocalNode): Promise<void> {
  await whileEtcdRests(stage, node, async (folder) => {
    await onNode(node, 'mv "$1" "$1.moved" && mkdir "$1"', folder);
    await node.smallDisk(folder, 512 * 1024 * 1024);
    await onNode(node, 'cp -a "$1.moved/." "$1" && rm -rf "$1.moved"', folder);
  });
}

export async function usualData(stage: RestoreStage, node: LocalNode): Promise<void> {
  await whileEtcdRests(stage, node, async (folder) => {
    await onNode(node, 'cp -a "$1" "$1.moved" && umount "$1" && rmdir "$1" && mv "$1.moved" "$1"', folder);
  });
}

async function whileEtcdRests(
  { cluster }: RestoreStage,
  node: LocalNode,
  act: (folder: string) => Promise<void>,
): Promise<void> {
  await onNode(
    node,
    'systemctl stop kubelet; for p in $(pgrep -x etcd); do kill "$p"; done; for i in $(seq 300); do pgrep -x etcd >/dev/null || exit 0; sleep 0.1; done; exit 1',
  );
  await act(dirname(cluster.dataDir));
  await onNode(node, 'systemctl start kubelet');
  await cluster.waitHealthy();
  await cluster.waitServing();
}

export async function smallRecords(node: LocalNode): Promise<void> {
  await onNode(node, 'mkdir -p "$1"', STEPS_FOLDER);
  await node.smallDisk(STEPS_FOLDER, 4 * 1024 * 1024);
}

export async function usualRecords(node: LocalNode): Promise<void> {
  await onNode(node, 'umount "$1"', STEPS_FOLDER);
}

/** Only SIGKILL ends it, which comes when its time to stop is up. */
export const etcdHangs: Fault = {
  what: 'its etcd hangs',
  strike: async (_, node) => {
    await onNode(node, 'kill -STOP $(pgrep -x etcd)');
  },
  mend: async () => undefined,
};

export const apiServerHangs: Fault = {
  what: 'its kube-apiserver hangs',
  strike: async (_, node) => {
    await onNode(node, 'kill -STOP $(pgrep -f "[/]kube-apiserver --")');
  },
  mend: async () => undefined,
};

const STRAY = '/tmp/stray/etcd';

/** As if one had been started by hand, in a place where neither systemd nor the kubelet knows of it. */
export const strayEtcd: Fault = {
  what: 'an etcd of these data does not end',
  strike: async ({ cluster: { dataDir } }, node) => {
    const program = '#!/bin/sh\ntrap "" TERM\nwhile :; do sleep 1; done\n';
    await onNode(node, 'mkdir -p "${1%/*}" && printf %s "$2" > "$1" && chmod 755 "$1"', STRAY, program);
    await onNode(node, 'setsid "$1" --data-dir="$2" < /dev/null > /dev/null 2>&1 & sleep 0.3', STRAY, dataDir);
  },
  mend: async (_, node) => {
    await onNode(node, 'for p in $(pgrep -f "^/bin/sh $1"); do kill -KILL "$p"; done; rm -rf "${1%/*}"', STRAY);
  },
};

/** Another file has the tool's name: one that says it is of the right version, and does nothing. */
export const otherTool: Fault = {
  what: 'its tool is another one than was approved',
  strike: async (_, node) => {
    await onNode(
      node,
      'for t in /usr/bin/etcdutl /usr/bin/etcdctl; do [ ! -e $t ] || { cp -a $t $t.kept && cp /bin/true $t.new && mv $t.new $t; }; done',
    );
  },
  mend: async (_, node) => {
    await onNode(node, 'for t in /usr/bin/etcdutl /usr/bin/etcdctl; do [ ! -e $t.kept ] || mv $t.kept $t; done');
  },
};

/** A byte of the copy that was fetched and found whole is another one. */
export const damagedCopy: Fault = {
  what: 'its copy of the snapshot is damaged after it was fetched',
  strike: async ({ cluster: { dataDir } }, node) => {
    await onNode(
      node,
      'set -- "$1".keyturn-*.db; [ -s "$1" ] && printf X | dd of="$1" bs=1 seek=20000 conv=notrunc 2>/dev/null',
      dataDir,
    );
  },
  mend: async () => undefined,
};

/** Pulls the plug; it boots again at once. */
export const powerLoss: Fault = {
  what: 'it loses power and boots again',
  strike: async (_, node) => {
    await node.kill();
    await node.start();
  },
  mend: async () => undefined,
};

let whole = Buffer.alloc(0);

/** One bit in the middle of the stored file is another one. */
export const flippedBit: Fault = {
  what: 'a bit of the stored snapshot is flipped',
  strike: async ({ store }) => {
    const file = await snapshotFile(store);
    whole = await readFile(file);
    const changed = Buffer.from(whole);
    const at = changed.length >> 1;
    changed[at] = (changed[at] ?? 0) ^ 1;
    await writeFile(file, changed);
  },
  mend: async ({ store }) => writeFile(await snapshotFile(store), whole),
};

export const truncated: Fault = {
  what: 'the stored snapshot is cut short',
  strike: async ({ store }) => {
    const file = await snapshotFile(store);
    whole = await readFile(file);
    await writeFile(file, whole.subarray(0, whole.length - 4_096));
  },
  mend: async ({ store }) => writeFile(await snapshotFile(store), whole),
};

async function snapshotFile(store: string): Promise<string> {
  const names = await readdir(store, { recursive: true });
  return join(store, names.find((name) => name.endsWith('.db')) ?? '');
}

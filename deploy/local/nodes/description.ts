/** Owns what is written down of nodes that run, so that another process finds them: `nodes.json` in their folder. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { LocalNode, LocalNodes } from './nodes.ts';

export interface NodeDescription {
  readonly name: string;
  readonly address: string;
  readonly hostKey: string;
  /** The argv that runs what follows it on the node as root; good until its next boot. */
  readonly inside: readonly string[];
}

export interface ClusterDescription {
  readonly name: string;
  readonly etcdVersion: string;
  readonly nodes: readonly NodeDescription[];
  /** The argv of etcdctl on any node, with certificates, against all members. */
  readonly etcdctl: readonly string[];
}

export interface Description {
  readonly hub: LocalNodes['hub'];
  readonly ssh: LocalNodes['ssh'];
  readonly clusters: readonly ClusterDescription[];
}

const FILE = 'nodes.json';

/** Writes it, and answers what was written. */
export async function describeNodes(nodes: LocalNodes): Promise<Description> {
  const description: Description = {
    hub: nodes.hub,
    ssh: nodes.ssh,
    clusters: nodes.clusters.map((cluster) => ({
      name: cluster.name,
      etcdVersion: cluster.etcdVersion,
      nodes: [...cluster.nodes, ...(cluster.bastion === undefined ? [] : [cluster.bastion])].map(describeNode),
      etcdctl: cluster.etcdctlArgv(),
    })),
  };
  await writeFile(join(nodes.instanceDir, FILE), JSON.stringify(description, undefined, 2));
  return description;
}

function describeNode(node: LocalNode): NodeDescription {
  return { name: node.name, address: node.address, hostKey: node.hostKey, inside: node.inside([]) };
}

/** Undefined when no nodes run in that folder. */
export async function readDescription(dir: string): Promise<Description | undefined> {
  const text = await readFile(join(dir, FILE), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as Description);
}

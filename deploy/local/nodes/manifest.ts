/** Owns the manifest of a static pod, written as kubeadm writes its own. */
import { stringify } from 'yaml';

export interface ManifestOptions {
  readonly user?: { readonly uid: number; readonly gid: number };
  /** Default `latest`. */
  readonly version?: string;
  /** Folders of the node that the container sees, by the same paths. */
  readonly folders?: readonly string[];
}

/** One line for each word of `command`, however long it is: tools edit manifests line by line. */
export function manifest(
  name: string,
  command: readonly string[],
  { user, version = 'latest', folders = [] }: ManifestOptions = {},
): string {
  const volumes = folders.map((path, i) => ({ name: `folder-${i}`, path }));
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'kube-system', labels: { component: name, tier: 'control-plane' } },
    spec: {
      containers: [
        {
          name,
          image: `local/${name}:${version}`,
          imagePullPolicy: 'IfNotPresent',
          command,
          resources: { requests: { cpu: '100m' } },
          volumeMounts: volumes.map((volume) => ({ mountPath: volume.path, name: volume.name })),
        },
      ],
      hostNetwork: true,
      priorityClassName: 'system-node-critical',
      ...(user === undefined ? {} : { securityContext: { runAsUser: user.uid, runAsGroup: user.gid } }),
      volumes: volumes.map(({ name: volume, path }) => ({
        hostPath: { path, type: 'DirectoryOrCreate' },
        name: volume,
      })),
    },
  };
  return stringify(pod, { lineWidth: 0 });
}

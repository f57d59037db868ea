/** Owns the manifest of a static pod, written as kubeadm writes its own. */
import { stringify } from 'yaml';

/** One line for each word of `command`, however long it is: tools edit manifests line by line. */
export function manifest(
  name: string,
  command: readonly string[],
  user?: { readonly uid: number; readonly gid: number },
): string {
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'kube-system', labels: { component: name, tier: 'control-plane' } },
    spec: {
      containers: [{ name, image: `local/${name}`, command, resources: { requests: { cpu: '100m' } } }],
      hostNetwork: true,
      priorityClassName: 'system-node-critical',
      ...(user === undefined ? {} : { securityContext: { runAsUser: user.uid, runAsGroup: user.gid } }),
    },
  };
  return stringify(pod, { lineWidth: 0 });
}

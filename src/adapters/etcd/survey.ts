/** Owns the look, as root, at what runs on a node besides etcd's own settings: components, manifests, units, containers, mounts. */
import { splitNul } from '../../domain/etcd-commands.ts';
import { quote, script } from '../../domain/restore/shell.ts';
import type { ContainerRuntime } from '../../domain/restore/facts.ts';
import { parseMounts, type Mount } from './mounts.ts';
import { parsePrinted, SHOW } from './printed.ts';
import { printedManifests, SHOW_MANIFESTS, type ManifestFile } from './static-pods.ts';
import { UNIT_PROPERTIES } from './units.ts';

export const COMPONENTS = ['kube-apiserver', 'kube-scheduler', 'kube-controller-manager', 'kubelet'] as const;
export type Component = (typeof COMPONENTS)[number];

export interface Process {
  readonly argv: readonly string[];
  /** /proc/<pid>/cgroup. */
  readonly cgroup: string;
}

export interface Unit {
  /** What `systemctl show` prints; '' where there is no systemd. */
  readonly shown: string;
  /** Contents of its environment files that are there. */
  readonly files: readonly string[];
}

export interface Survey {
  /** Of etcd's process; undefined when it does not run any more. */
  readonly etcd:
    | {
        readonly cgroup: string;
        readonly workingDirectory: string;
        readonly program: string;
        /** Undefined when it sees the node's own mounts. */
        readonly mounts: readonly Mount[] | undefined;
      }
    | undefined;
  /** The command line of each process named etcd. */
  readonly namedEtcd: readonly (readonly string[])[];
  readonly mounts: readonly Mount[];
  readonly processes: Readonly<Record<Component, readonly Process[]>>;
  readonly units: Readonly<Record<Component | 'etcd', Unit>>;
  readonly manifests: readonly ManifestFile[];
  /** Those that answered, with the ids of the containers that run. */
  readonly runtimes: readonly (ContainerRuntime & { readonly containers: readonly string[] })[];
}

/** `unit`: etcd's. */
export function surveyScript(pid: number | undefined, unit: string | undefined): string {
  return script(
    'set +eu',
    'PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/bin',
    SHOW,
    SHOW_MANIFESTS,
    `pid=${pid ?? ''}`,
    `unit() { # KEY UNIT
  systemctl show "$2" ${UNIT_PROPERTIES} 2>/dev/null | show unit "$1"
  systemctl show "$2" -p EnvironmentFiles 2>/dev/null |
    sed -n 's/^EnvironmentFiles=\\(.*\\) (ignore_errors=.*/\\1/p' | {
    i=0
    while read -r file; do
      i=$((i + 1))
      [ ! -f "$file" ] || head -c 1000000 "$file" | show "file-$1" $i
    done
  }
}
runtime() { # CLI ARGUMENT…
  path=$(command -v "$1") || return
  case $path in /*) ;; *) return ;; esac
  cli=$1
  shift
  ids=$(timeout 10 "$path" "$@" 2>/dev/null) || return
  tell runtime $cli "$path"
  tell containers $cli "$ids"
}
if [ -n "$pid" ] && [ -e "/proc/$pid/exe" ]; then
  show cgroup etcd < "/proc/$pid/cgroup"
  tell cwd - "$(readlink "/proc/$pid/cwd")"
  tell program - "$(readlink "/proc/$pid/exe")"
  [ "$(readlink "/proc/$pid/ns/mnt")" = "$(readlink /proc/self/ns/mnt)" ] ||
    cut -d' ' -f3-5 "/proc/$pid/mountinfo" | show mounts etcd
fi
cut -d' ' -f3-5 /proc/self/mountinfo | show mounts node
for d in /proc/[0-9]*; do
  name=
  { read -r name < "$d/comm"; } 2>/dev/null
  [ "$name" != etcd ] || show etcd "\${d#/proc/}" < "$d/cmdline"
done
for component in ${COMPONENTS.join(' ')}; do
  for process in $(pids_of $component); do
    show $component $process < "/proc/$process/cmdline"
    show cgroup $process < "/proc/$process/cgroup"
  done 2>/dev/null
  unit $component $component.service
done`,
    ...(unit === undefined ? [] : [`unit etcd ${quote(unit)}`]),
    `show_manifests
runtime crictl ps -q
runtime ctr -n k8s.io tasks ls -q
runtime docker ps -q --no-trunc --filter label=io.kubernetes.pod.name
exit 0`,
  );
}

export function parseSurvey(stdout: Uint8Array): Survey {
  const printed = parsePrinted(stdout);
  const processesOf = (component: Component): readonly Process[] =>
    printed.keys(component).map((pid) => ({
      argv: splitNul(printed.get(component, pid) ?? new Uint8Array()),
      cgroup: printed.text('cgroup', pid),
    }));
  const unitOf = (name: Component | 'etcd'): Unit => ({
    shown: printed.text('unit', name),
    files: printed.keys(`file-${name}`).map((key) => printed.text(`file-${name}`, key)),
  });
  const etcdMounts = printed.get('mounts', 'etcd');
  return {
    etcd:
      printed.get('cgroup', 'etcd') === undefined
        ? undefined
        : {
            cgroup: printed.text('cgroup', 'etcd'),
            workingDirectory: printed.text('cwd'),
            // A program that was replaced while it runs.
            program: printed.text('program').replace(/ \(deleted\)$/, ''),
            mounts: etcdMounts === undefined ? undefined : parseMounts(etcdMounts.toString()),
          },
    namedEtcd: printed.keys('etcd').map((pid) => splitNul(printed.get('etcd', pid) ?? new Uint8Array())),
    mounts: parseMounts(printed.text('mounts', 'node')),
    processes: {
      'kube-apiserver': processesOf('kube-apiserver'),
      'kube-scheduler': processesOf('kube-scheduler'),
      'kube-controller-manager': processesOf('kube-controller-manager'),
      kubelet: processesOf('kubelet'),
    },
    units: {
      'kube-apiserver': unitOf('kube-apiserver'),
      'kube-scheduler': unitOf('kube-scheduler'),
      'kube-controller-manager': unitOf('kube-controller-manager'),
      kubelet: unitOf('kubelet'),
      etcd: unitOf('etcd'),
    },
    manifests: printedManifests(printed),
    runtimes: (['crictl', 'ctr', 'docker'] as const).flatMap((cli) => {
      const path = printed.text('runtime', cli);
      const containers = printed.text('containers', cli).split('\n').filter(Boolean);
      return path === '' ? [] : [{ cli, path, containers }];
    }),
  };
}

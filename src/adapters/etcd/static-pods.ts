/** Owns static pods on a node: which folder the kubelet reads them from, and which manifest starts a component. */
import { posix } from 'node:path';
import { parse as parseYaml } from 'yaml';
import type { Printed } from './printed.ts';

/** kubeadm's place, and the kubelet's default by it. */
export const MANIFESTS = '/etc/kubernetes/manifests';

/**
 * Words for scripts. `find_folder` sets $folder: by the flags of the running kubelet, else by those that its unit would give
 * it; a flag goes before the configuration file. `show_manifests` prints every file in it that the kubelet would take (all
 * but those with a dot in front) as `manifest <n>` and, where it may be read, `content <n>`. Needs `show` and `pids_of`.
 */
export const SHOW_MANIFESTS = `kubelet_words() {
  for pid_of_kubelet in $(pids_of kubelet); do
    tr '\\0' '\\n' < "/proc/$pid_of_kubelet/cmdline"
    return
  done
  {
    systemctl show kubelet.service -p ExecStart -p Environment
    systemctl show kubelet.service -p EnvironmentFiles | sed -n 's/^EnvironmentFiles=\\(.*\\) (ignore_errors=.*/\\1/p' |
      while read -r file; do cat "$file"; done
  } 2>/dev/null | tr " \\"'" '\\n\\n\\n' | sed 's/^[A-Za-z_][A-Za-z0-9_]*=-/-/'
}
kubelet_flag() {
  printf '%s\\n' "$words" | sed -n -e "s/^--*$1=//p" -e "/^--*$1\\$/{n;p;}" | tail -n 1
}
find_folder() {
  words=$(kubelet_words)
  folder=$(kubelet_flag pod-manifest-path)
  config=$(kubelet_flag config)
  [ -n "$config" ] || config=/var/lib/kubelet/config.yaml
  if [ -z "$folder" ] && [ -r "$config" ]; then
    folder=$(sed -n -e 's/[[:space:]]*#.*//' -e 's/^[[:space:]]*"\\{0,1\\}staticPodPath"\\{0,1\\}:[[:space:]]*//p' "$config" |
      tr -d "\\"', \\r" | head -n 1)
    case $folder in '' | /*) ;; *) folder=\${config%/*}/$folder ;; esac
  fi
  [ -n "$folder" ] || folder=${MANIFESTS}
  folder=\${folder%/}
}
show_manifests() {
  find_folder
  n=0
  for file in "$folder"/*; do
    [ -f "$file" ] || continue
    n=$((n + 1))
    tell manifest $n "$file"
    [ ! -r "$file" ] || head -c 1000000 "$file" | show content $n
  done
}`;

export interface ManifestFile {
  readonly path: string;
  /** Undefined where the login may not read it. */
  readonly text: string | undefined;
}

export function printedManifests(printed: Printed): readonly ManifestFile[] {
  return printed.keys('manifest').map((key) => ({
    path: printed.text('manifest', key),
    text: printed.get('content', key)?.toString(),
  }));
}

/** The container of a static pod that runs a component. */
export interface StaticPod {
  readonly manifest: string;
  /** Command and arguments, as the container would be started. */
  readonly argv: readonly string[];
  /** `NAME=value`. */
  readonly environment: readonly string[];
  /** '' where there is none. */
  readonly image: string;
  /** Directories of the node in the container. */
  readonly mounts: readonly { readonly inside: string; readonly onNode: string }[];
}

/** What of a manifest counts here (Kubernetes API, v1 Pod); all of it may be missing. */
interface Pod {
  readonly spec?: {
    readonly containers?: readonly {
      readonly name?: string;
      readonly image?: string;
      readonly command?: readonly unknown[];
      readonly args?: readonly unknown[];
      readonly env?: readonly { readonly name: string; readonly value?: string }[];
      readonly volumeMounts?: readonly {
        readonly name: string;
        readonly mountPath: string;
        readonly subPath?: string;
      }[];
    }[];
    readonly volumes?: readonly { readonly name: string; readonly hostPath?: { readonly path: string } }[];
  } | null;
}
type Container = NonNullable<NonNullable<Pod['spec']>['containers']>[number];

/** Every manifest with a container of this name, or one whose command is this program. A file that is no manifest is none. */
export function podsOf(files: readonly ManifestFile[], component: string): readonly StaticPod[] {
  return files.flatMap(({ path, text }) => {
    const spec = text === undefined ? undefined : parsePod(text)?.spec;
    const container = spec?.containers?.find((each) => names(each, component));
    if (container === undefined) return [];
    const folders = new Map((spec?.volumes ?? []).map(({ name, hostPath }) => [name, hostPath?.path]));
    return [
      {
        manifest: path,
        argv: wordsOf(container),
        environment: (container.env ?? []).map(({ name, value }) => `${name}=${value ?? ''}`),
        image: container.image ?? '',
        mounts: (container.volumeMounts ?? []).flatMap(({ name, mountPath, subPath }) => {
          const folder = folders.get(name);
          return folder === undefined ? [] : [{ inside: mountPath, onNode: posix.join(folder, subPath ?? '') }];
        }),
      },
    ];
  });
}

/** The node's path of what the pod sees as `path`; undefined when no directory of the node is mounted there. */
export function pathOnNode({ mounts }: StaticPod, path: string): string | undefined {
  const over = mounts
    .filter(({ inside }) => isWithin(inside, path))
    .reduce<(typeof mounts)[number] | undefined>(
      (deepest, mount) => (deepest === undefined || mount.inside.length >= deepest.inside.length ? mount : deepest),
      undefined,
    );
  return over === undefined ? undefined : posix.join(over.onNode, posix.relative(over.inside, path));
}

/** Whether `path` is `folder` or lies in it. */
export function isWithin(folder: string, path: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}

function parsePod(text: string): Pod | undefined {
  try {
    const pod = parseYaml(text) as Pod | null;
    return typeof pod === 'object' && pod !== null ? pod : undefined;
  } catch {
    return undefined;
  }
}

function wordsOf({ command = [], args = [] }: Container): readonly string[] {
  return [...command, ...args].map(String);
}

/** `etcd …`, `/hyperkube apiserver …`, and `sh -c "exec etcd …"`. */
function names(container: Container, component: string): boolean {
  if (container.name === component) return true;
  const words = wordsOf(container);
  const [program = '', second = ''] = words.map((word) => posix.basename(word));
  if (program === component) return true;
  if (program === 'hyperkube') return [component, component.replace(/^kube-/, '')].includes(second);
  const line = new RegExp(`(^|[\\s/;&])${component}(\\s|$)`, 'm');
  return /^(ba|da|)sh$/.test(program) && words.slice(1).some((word) => !word.startsWith('-') && line.test(word));
}

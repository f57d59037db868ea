/** Owns the look, as root, at directories and programs of which a first look has told where they may be. */
import { command, quote, script } from '../../domain/restore/shell.ts';
import type { EtcdTool } from '../../domain/restore/facts.ts';
import { parsePrinted, SHOW } from './printed.ts';

export interface Wanted {
  /** etcd's process, whose own view proves which candidate is meant; undefined when it does not run. */
  readonly pid: number | undefined;
  /** Absolute paths on the node, the first that is right is taken; `inside`: what etcd itself calls it. */
  readonly directories: readonly {
    readonly name: 'data' | 'wal';
    readonly inside: string;
    readonly candidates: readonly string[];
  }[];
  /** Commands that run etcd's program, the best first: they are asked for its version. */
  readonly servers: readonly (readonly string[])[];
  /** Folders of etcd's own program, on the node and in its container. */
  readonly folders: readonly string[];
  readonly inContainer: boolean;
}

export interface Directory {
  /** Symbolic links resolved. */
  readonly path: string;
  readonly uid: number;
  readonly gid: number;
  readonly freeBytes: number;
}

export interface Seen {
  /** Undefined when no candidate is right. */
  readonly data: Directory | undefined;
  readonly wal: Directory | undefined;
  /** `3.5.16`; undefined when no program could say. */
  readonly version: string | undefined;
  readonly tools: readonly EtcdTool[];
}

/** Where else programs are put, beside the usual folders. */
const FOLDERS =
  '/usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin /opt/bin /opt/etcd /opt/etcd-* /opt/etcd*/bin';
const IN_CONTAINER = '/usr/local/bin /usr/bin /bin /opt/bin';

export function programsScript({ pid, directories, servers, folders, inContainer }: Wanted): string {
  const root = pid === undefined ? '' : `/proc/${pid}/root`;
  return script(
    'set +eu',
    SHOW,
    `directory() { # NAME INSIDE CANDIDATE…
  name=$1 inside=$2
  shift 2
  for path; do
    path=$(readlink -f "$path") && [ -d "$path" ] || continue
    [ -z "$inside" ] || [ "$path" -ef "$inside" ] || continue
    tell directory "$name" "$(stat -c '%u %g' "$path") $(stat -f -c '%f %S' "$path") $path"
    return
  done
}
server() { # COMMAND…
  [ -z "$version" ] || return
  version=$(timeout 10 "$@" --version 2>/dev/null < /dev/null | grep '^etcd Version: ') && tell version - "$version"
}
# A script in the place of a tool is none: it may run one elsewhere, and its hash says nothing of that.
tool() { # NAME FROM ROOT PATH
  file=$3$4
  [ -f "$file" ] && [ -x "$file" ] || return
  [ "$(head -c 4 "$file" | od -A n -t x1 | tr -d ' ')" = 7f454c46 ] || return
  says=$(ETCDCTL_API=3 timeout 10 "$file" version 2>/dev/null < /dev/null | grep "^$1 version: ") || return
  hash=$(sha256sum < "$file") || return
  n=$((n + 1))
  tell tool $n "$1 $2 \${hash%% *} \${says##* } $4"
}
n=0 version= seen=`,
    ...directories.map(({ name, inside, candidates }) =>
      ['directory', name, root === '' ? "''" : quote(`${root}${inside}`), ...candidates.map(quote)].join(' '),
    ),
    ...servers.map((argv) => `server ${command(argv)}`),
    `for name in etcdctl etcdutl; do
  for folder in ${folders.map(quote).join(' ')} ${FOLDERS}; do
    path=$(readlink -f "$folder/$name") || continue
    case "$seen " in *" $path "*) continue ;; esac
    seen="$seen $path"
    tool $name node '' "$path"
  done
done`,
    // A link would lead out of the container.
    ...(inContainer && root !== ''
      ? [
          `[ / -ef ${root}/ ] || for name in etcdctl etcdutl; do
  for folder in ${[...folders.map(quote), IN_CONTAINER].join(' ')}; do
    case "$seen " in *" in:$folder/$name "*) continue ;; esac
    seen="$seen in:$folder/$name"
    [ -L "${root}$folder" ] || [ -L "${root}$folder/$name" ] || tool $name container ${root} "$folder/$name"
  done
done`,
        ]
      : []),
    'exit 0',
  );
}

export function parsePrograms(stdout: Uint8Array): Seen {
  const printed = parsePrinted(stdout);
  return {
    data: directoryOf(printed.text('directory', 'data')),
    wal: directoryOf(printed.text('directory', 'wal')),
    version: /^etcd Version: (\S+)/.exec(printed.text('version'))?.[1],
    tools: printed.keys('tool').flatMap((key) => toolOf(printed.text('tool', key))),
  };
}

/** `uid gid, free blocks, their size, path`. */
function directoryOf(line: string): Directory | undefined {
  const [, uid, gid, blocks, size, path] = /^(\d+) (\d+) (\d+) (\d+) (\/.*)$/s.exec(line) ?? [];
  if (path === undefined) return undefined;
  return { path, uid: Number(uid), gid: Number(gid), freeBytes: Number(blocks) * Number(size) };
}

function toolOf(line: string): readonly EtcdTool[] {
  const match = /^(etcdctl|etcdutl) (node|container) ([0-9a-f]{64}) (\d+\.\d+\.\d+\S*) (\/.*)$/s.exec(line);
  if (match === null) return [];
  const [, name, from, sha256 = '', version = '', path = ''] = match;
  return [
    {
      name: name === 'etcdctl' ? 'etcdctl' : 'etcdutl',
      version,
      path,
      from: from === 'node' ? 'node' : 'container',
      sha256,
    },
  ];
}

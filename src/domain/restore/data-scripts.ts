/** Owns the scripts that touch data: look beforehand, restore into a new directory, swap old for new, and back. */
import { restoreArgv } from '../etcd-commands.ts';
import type { EtcdTool, NodeFacts } from './facts.ts';
import { manifestFolder, type DataPart, type NodeLayout } from './layout.ts';
import { command, quote, script } from './shell.ts';

/** What one node gets: `done` and `undo` as in a step. */
export interface Scripts {
  readonly script: string;
  readonly done: string | undefined;
  readonly undo: string | undefined;
}

/** Kilobytes are what POSIX `df` counts in. */
const KIB = 1024;

/** Names etcd's processes of this node apart from others', for the words `etcd_pids` and those on it. */
export function dataDirLine({ etcd }: NodeFacts): string {
  return `data_dir=${quote(etcd.dataDir)}`;
}

/** Nothing is changed: the tool is what it was, there is room, what is to be stopped is there. */
export function lookScript(
  facts: NodeFacts,
  options: { readonly tools: readonly EtcdTool[]; readonly bytes: number; readonly lines: readonly string[] },
): Scripts {
  const { dataDir, kubelet } = facts;
  const free = `$(df -P -k ${quote(dataDir.path)} | sed -n '2s/.* \\([0-9][0-9]*\\)  *[0-9][0-9]*%.*/\\1/p')`;
  const units = [facts.etcd.supervisor, facts.apiServer?.supervisor].flatMap((s) =>
    s?.kind === 'systemd' ? [s.unit] : [],
  );
  const manifests = [facts.etcd.supervisor, facts.apiServer?.supervisor].flatMap((s) =>
    s?.kind === 'static-pod' ? [s.manifest] : [],
  );
  const text = script(
    dataDirLine(facts),
    `[ -d ${quote(dataDir.path)} ] || fail ${quote(`${dataDir.path} is no directory any more.`)}`,
    `free=${free}`,
    `[ "$free" -ge ${Math.ceil(options.bytes / KIB)} ] || fail "Only $free KiB are free, ${Math.ceil(options.bytes / KIB)} are needed."`,
    ...options.tools.flatMap(toolLines),
    ...units.map((unit) => `systemctl cat ${quote(unit)} >/dev/null || fail ${quote(`There is no unit ${unit}.`)}`),
    ...manifests.map((path) => `[ -f ${quote(path)} ] || fail ${quote(`${path} is not there.`)}`),
    ...(kubelet === undefined || manifestFolder(facts) === undefined
      ? []
      : [
          `systemctl is-active --quiet ${quote(kubelet.unit)} || fail ${quote(`${kubelet.unit} does not run: it could not stop etcd or kube-apiserver.`)}`,
        ]),
    ...options.lines,
  );
  return { script: text, done: undefined, undo: undefined };
}

function toolLines(tool: EtcdTool): readonly string[] {
  const program = tool.from === 'node' ? quote(tool.path) : `"/proc/$(etcd_pids | sed -n 1p)/root"${quote(tool.path)}`;
  const changed = quote(`${tool.path} is not the ${tool.name} ${tool.version} that the plan was made with.`);
  return [
    `tool=${program}`,
    `sum=$(sha256sum < "$tool")`,
    `[ "\${sum%% *}" = ${tool.sha256} ] || fail ${changed}`,
    `case $("$tool" version 2>&1) in *${quote(tool.version)}*) ;; *) fail ${changed} ;; esac`,
  ];
}

export interface PrepareOptions {
  readonly tool: EtcdTool;
  readonly memberName: string;
  readonly initialCluster: string;
  readonly token: string;
  readonly peerUrls: readonly string[];
  readonly bumpRevision: string | undefined;
}

/** Restores beside the live data and renames when all of it is there: what has the name `fresh` is whole. */
export function prepareScript(facts: NodeFacts, layout: NodeLayout, options: PrepareOptions): Scripts {
  const { data, wal, walBelowData, snapshot } = layout;
  const half = `${data.fresh}.part`;
  const walDir = wal === undefined ? walBelowData && `${half}/${walBelowData}` : `${wal.fresh}.part`;
  const { tool, ...member } = options;
  const path = tool.from === 'node' ? tool.path : layout.tool;
  const restore = restoreArgv(path, { ...member, snapshot, dataDir: half, walDir });
  return prepared(layout, [
    ...(tool.from === 'node'
      ? []
      : [
          dataDirLine(facts),
          `cp "/proc/$(etcd_pids | sed -n 1p)/root"${quote(tool.path)} ${quote(path)}`,
          `chmod 0700 ${quote(path)}`,
        ]),
    `ETCDCTL_API=3 nice -n 10 ${command(restore)}`,
  ]);
}

/** A member that is added later starts with nothing: an empty directory takes the place of the old data. */
export function prepareEmptyScript(layout: NodeLayout): Scripts {
  const { data, wal } = layout;
  return prepared(
    layout,
    [data, ...(wal === undefined ? [] : [wal])].map(({ fresh }) => `mkdir ${quote(`${fresh}.part`)}`),
  );
}

/** Owner and mode are settled here, while the cluster still serves. */
function prepared({ data, wal, snapshot, tool }: NodeLayout, make: readonly string[]): Scripts {
  const parts = [...(wal === undefined ? [] : [wal]), data];
  const half = ({ fresh }: DataPart): string => quote(`${fresh}.part`);
  const all = parts.flatMap((part) => [quote(part.fresh), half(part)]).join(' ');
  const done = `[ -e ${quote(data.fresh)} ] || [ -e ${quote(data.old)} ]`;
  return {
    script: script(
      `if ${done}; then exit 0; fi`,
      'umask 077',
      `rm -rf ${all}`,
      ...make,
      ...parts.flatMap((part) => [
        `chown -R ${part.owner.uid}:${part.owner.gid} ${half(part)}`,
        `chmod 0700 ${half(part)}`,
        `if command -v selinuxenabled >/dev/null 2>&1 && selinuxenabled; then chcon -R --reference=${quote(part.live)} ${half(part)}; fi`,
      ]),
      ...parts.map((part) => `mv ${half(part)} ${quote(part.fresh)}`),
      `rm -f ${quote(snapshot)} ${quote(tool)}`,
    ),
    done: script(done),
    undo: script(
      ...parts.map(
        (part) =>
          `[ ! -e ${quote(part.old)} ] || fail ${quote(`${part.old} is there: the swap was not undone, nothing is removed.`)}`,
      ),
      `rm -rf ${all} ${quote(snapshot)} ${quote(tool)}`,
    ),
  };
}

/** The fetched file is not needed any more once the restored data are there. */
export function fetchChecks({ data, snapshot }: NodeLayout, sha256: string): Omit<Scripts, 'script'> {
  return {
    done: script(
      `if [ -e ${quote(data.fresh)} ] || [ -e ${quote(data.old)} ]; then exit 0; fi`,
      `[ -f ${quote(snapshot)} ]`,
      `sum=$(sha256sum < ${quote(snapshot)})`,
      `[ "\${sum%% *}" = ${quote(sha256)} ]`,
    ),
    undo: script(`rm -f ${quote(snapshot)}`),
  };
}

/** Renames only, so it takes no time; and not while an etcd of this directory runs, whatever was proven before. */
export function swapScript(facts: NodeFacts, { data, wal }: NodeLayout): Scripts {
  const parts = [data, ...(wal === undefined ? [] : [wal])];
  const guard = [dataDirLine(facts), `etcd_gone || fail ${quote('etcd runs: its data are not touched.')}`];
  const move = (words: Readonly<Record<DataPart['how'], string>>, part: DataPart): string[] => [
    ...(part.how === 'content' ? [`stays=${quote(part.stays)}`] : []),
    [words[part.how], ...[part.live, part.old, part.fresh].map(quote)].join(' '),
  ];
  return {
    script: script(...guard, ...parts.flatMap((part) => move({ rename: 'swap_in', content: 'swap_content_in' }, part))),
    done: script(
      ...parts.flatMap(({ live, old, fresh }) => [
        `[ -e ${quote(old)} ]`,
        `[ ! -e ${quote(fresh)} ]`,
        `[ -e ${quote(live)} ]`,
      ]),
    ),
    undo: script(
      ...guard,
      ...[...parts].reverse().flatMap((part) => move({ rename: 'swap_back', content: 'swap_content_back' }, part)),
    ),
  };
}

/** Owns how a member is added to the restored cluster: as a learner with empty data, promoted when it has caught up. */
import type { Scripts } from './data-scripts.ts';
import type { NodeFacts } from './facts.ts';
import { nameOf, parentOf, type NodeLayout } from './layout.ts';
import { headLines, START_SECONDS, waitFor } from './process-scripts.ts';
import { command, quote, script } from './shell.ts';

/** Seconds in which the first member answers and takes another, and in which etcd ends. */
const WAIT_SECONDS = 150;

export interface JoinOptions {
  readonly request: string;
  /** Path of etcdctl on the joining node. */
  readonly etcdctl: string;
  /** Client URLs of the first member. */
  readonly endpoints: readonly string[];
  /** Every member up to and with this one: etcd refuses to join with any other list. */
  readonly initialCluster: string;
  /** How long copying the data may take. */
  readonly seconds: number;
}

/**
 * etcd joins only with `--initial-cluster-state=existing`, and looks at these flags no more once it has data. A unit gets
 * them by a drop-in that is gone when the member is in; a manifest keeps them, as kubeadm leaves them too: its original
 * lies aside.
 */
export function joinScript(facts: NodeFacts, layout: NodeLayout, options: JoinOptions): Scripts {
  const { supervisor } = facts.etcd;
  if (supervisor.kind === 'unknown') throw new TypeError('Nothing is known of what would be started.');
  const how =
    supervisor.kind === 'static-pod'
      ? withManifest(supervisor.manifest, layout, options)
      : withDropIn(supervisor.unit, facts, options);
  const head = [...headLines(facts, layout), ...memberWords(facts, options)];
  return {
    script: script(
      ...head,
      waitFor(WAIT_SECONDS, 'the first member does not answer, or can not take another member.', 'added'),
      ...how.start,
      waitFor(START_SECONDS[supervisor.kind], 'no process of etcd has come up.', 'etcd_runs'),
      waitFor(options.seconds, 'the new member has not caught up.', 'promoted'),
      ...how.tidy,
    ),
    done: script(...head, ...how.started, 'etcd_runs', 'is_voter'),
    undo: script(...headLines(facts, layout), ...how.stop),
  };
}

/** `member list` prints `id, status, name, peer URLs, client URLs, is learner`. */
function memberWords({ etcd, peerUrls }: NodeFacts, { etcdctl, endpoints }: JoinOptions): readonly string[] {
  const tls = etcd.tls;
  const files = tls === undefined ? [] : [`--cacert=${tls.caFile}`, `--cert=${tls.certFile}`, `--key=${tls.keyFile}`];
  const ask = [etcdctl, `--endpoints=${endpoints.join(',')}`, ...files, '--dial-timeout=3s', '--command-timeout=10s'];
  const urls = [...peerUrls].sort();
  const own = `, ${urls.join(',')}, `;
  const add = command(['member', 'add', etcd.memberName, '--learner', `--peer-urls=${urls.join(',')}`]);
  return [
    `ask() { ETCDCTL_API=3 ${command(ask)} "$@"; }`,
    `own_line() { list=$(ask member list) && printf '%s\\n' "$list" | grep -F -e ${quote(own)}; }`,
    // Never added twice: only a list that was read and lacks it says that it is missing.
    `added() { list=$(ask member list) || return 1; printf '%s\\n' "$list" | grep -q -F -e ${quote(own)} || ask ${add} >/dev/null; }`,
    `is_voter() { line=$(own_line) || return 1; case "\${line#*, }" in started,*", false") ;; *) return 1 ;; esac; }`,
    `promoted() { is_voter && return 0; line=$(own_line) || return 1; ask member promote "\${line%%,*}" >/dev/null 2>&1 || :; is_voter; }`,
  ];
}

interface Start {
  readonly start: readonly string[];
  readonly started: readonly string[];
  readonly tidy: readonly string[];
  readonly stop: readonly string[];
}

function withManifest(manifest: string, { manifestsAside }: NodeLayout, { initialCluster }: JoinOptions): Start {
  const aside = quote(`${manifestsAside}/${nameOf(manifest)}`);
  const joining = quote(`${parentOf(manifest)}/.${nameOf(manifest)}.joining`);
  return {
    start: [
      `if [ ! -e ${quote(manifest)} ]; then`,
      // The copy has the owner and mode; its content is then written over.
      `  cp -p ${aside} ${joining}`,
      `  sed ${joinFlags(initialCluster)} ${aside} > ${joining}`,
      `  mv -f ${joining} ${quote(manifest)}`,
      'fi',
    ],
    started: [`[ -e ${quote(manifest)} ]`],
    tidy: [],
    stop: [
      `if [ -e ${aside} ]; then rm -f ${quote(manifest)} ${joining}; fi`,
      waitFor(WAIT_SECONDS, 'etcd still runs.', 'etcd_gone'),
    ],
  };
}

/** One line of a manifest, as kubeadm and its kind write them: `    - --initial-cluster=…`. */
const FLAG_LINE = `^[[:space:]]*- ["']\\{0,1\\}--initial-cluster=`;

/** Whether `joinFlags` will find what it changes: a condition for the script that looks beforehand. */
export function manifestCanJoin(manifest: string): string {
  const advice = `${manifest} has no line of its own for --initial-cluster: restore with all-members instead.`;
  return `[ "$(grep -c -e ${quote(FLAG_LINE)} ${quote(manifest)})" = 1 ] || fail ${quote(advice)}`;
}

function joinFlags(cluster: string): string {
  const yaml = `'--initial-cluster=${cluster.replaceAll("'", "''")}'`;
  const replacement = yaml.replace(/[\\&|\n]/g, '\\$&');
  const state = `/^[[:space:]]*- ["']\\{0,1\\}--initial-cluster-state=/d`;
  const flag = `s|^\\([[:space:]]*- \\)["']\\{0,1\\}--initial-cluster=.*|\\1${replacement}\\\n\\1'--initial-cluster-state=existing'|`;
  return `-e ${quote(state)} -e ${quote(flag)}`;
}

function withDropIn(unit: string, { argv }: NodeFacts, { request, initialCluster }: JoinOptions): Start {
  const folder = `/run/systemd/system/${unit}.d`;
  const file = quote(`${folder}/90-keyturn-${request}.conf`);
  // Of a flag that is given twice etcd takes the last, and any flag goes before a variable.
  const all = [...argv, `--initial-cluster=${initialCluster}`, '--initial-cluster-state=existing'];
  const exec = `ExecStart=${all.map(systemdWord).join(' ')}`;
  const lines = ['[Service]', 'ExecStart=', exec].map(quote).join(' ');
  const remove = [`rm -f ${file}`, `rmdir ${quote(folder)} 2>/dev/null || :`, 'systemctl daemon-reload'];
  return {
    start: [
      'if etcd_gone; then',
      `  mkdir -p ${quote(folder)}`,
      `  printf '%s\\n' ${lines} > ${file}`,
      '  systemctl daemon-reload',
      `  systemctl reset-failed ${quote(unit)} 2>/dev/null || :`,
      `  systemctl start --no-block ${quote(unit)}`,
      'fi',
    ],
    started: [`[ ! -e ${file} ]`],
    tidy: remove,
    stop: [`systemctl stop ${quote(unit)}`, waitFor(WAIT_SECONDS, 'etcd still runs.', 'etcd_gone'), ...remove],
  };
}

/** One word of ExecStart as systemd.service(5) reads it: in quotes, nothing in it is expanded. */
function systemdWord(word: string): string {
  const escaped = word.replace(/[\\"]/g, '\\$&').replaceAll('%', '%%').replaceAll('$', '$$$$').replaceAll('\n', '\\n');
  return `"${escaped}"`;
}

/** Owns what is removed of a restore that has ended: old data, leftovers of its names; and whose may be removed. */
import type { Plan } from '../plan.ts';
import { isOpen, type RestoreRequest } from '../restore-request.ts';
import { nameOf } from './layout.ts';
import { quote, script } from './shell.ts';

/** Where nodes keep how the steps of each restore went. */
export const STEPS_FOLDER = '/var/lib/keyturn';

/**
 * Why nothing of this restore may be removed, a full sentence; undefined: it may. `newestFirst`: the cluster's requests. Old
 * data of the newest restore that succeeded, or of one after it, may still be wanted.
 */
export function whyKept(request: RestoreRequest, newestFirst: readonly RestoreRequest[]): string | undefined {
  if (isOpen(request.state)) return `Restore ${request.id} has not ended.`;
  const newest = newestFirst.findIndex(({ state }) => state === 'succeeded');
  const own = newestFirst.findIndex(({ id }) => id === request.id);
  // What is not among the newest any more is older than all of them.
  const isOlder = newest >= 0 && (own < 0 || own > newest);
  return isOlder
    ? undefined
    : `No newer restore of ${request.cluster} has succeeded: the old data may still be wanted.`;
}

/**
 * Removes what the restore left in this node's directories and prints each path that it removed, a line each; undefined:
 * the plan has nothing there. Safe twice. It fails, and removes no old data, while a process has a file open in them.
 * Throws TypeError for old data that are not named by the request.
 */
export function cleanupScript(plan: Plan, node: string): string | undefined {
  const oldData = plan.members.filter((member) => member.node === node).flatMap((member) => member.oldData);
  if (oldData.length === 0) return undefined;
  for (const path of oldData) assertOwn(path, plan.request);
  return script(
    `remove() {
  for path in "$@"; do
    if [ -e "$path" ] || [ -L "$path" ]; then
      rm -rf "$path"
      printf '%s\\n' "$path"
    fi
  done
}`,
    ...oldData.map(
      (path) =>
        `! ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q -F -e ${quote(` -> ${path}/`)} || fail ${quote(`A process has files open in ${path}: nothing is removed.`)}`,
    ),
    ...oldData.flatMap((path) => [
      `remove ${[path, ...LEFTOVERS.map((end) => `${path}${end}`)].map(quote).join(' ')}`,
      // Bytes of the snapshot that were cut off.
      `remove ${quote(`${path}.db`)}.part.*`,
    ]),
    ...asideLines(plan, node),
  );
}

/** What a restore has beside its old data: see `layoutOf`, and the scripts that swap. */
const LEFTOVERS = ['.new', '.new.part', '.part', '.back', '.db', '.tool'] as const;

/** The plan's own line says where manifests are set aside; what is still in there is somebody's. */
function asideLines({ phases }: Plan, node: string): readonly string[] {
  const scripts = phases.flatMap(({ steps }) =>
    steps.flatMap((step) => (step.node === node && step.action.kind === 'script' ? [step.action.script] : [])),
  );
  const line = scripts.flatMap((text) => /^manifests_aside=.*$/m.exec(text)?.[0] ?? [])[0];
  if (line === undefined) return [];
  return [
    line,
    `if [ -d "$manifests_aside" ] && rmdir "$manifests_aside" 2>/dev/null; then printf '%s\\n' "$manifests_aside"; fi`,
  ];
}

/** Removes the record of the restore's steps; nothing may run of them any more. */
export function forgetStepsScript(request: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(request)) throw new TypeError(`"${request}" names no folder.`);
  return script(`rm -rf ${quote(`${STEPS_FOLDER}/${request}`)}`);
}

function assertOwn(path: string, request: string): void {
  const isOwn = path.startsWith('/') && (path.endsWith(`.keyturn-${request}`) || nameOf(path) === `keyturn-${request}`);
  if (!isOwn || path.includes('/../')) throw new TypeError(`${path} is not old data of restore ${request}.`);
}

/** Owns which directory of the node a process with mounts of its own means by a path. */
import { posix } from 'node:path';
import { isWithin } from './static-pods.ts';

/** A line of /proc/<pid>/mountinfo: the filesystem, which folder of it, and where that is mounted (proc(5)). */
export interface Mount {
  /** `major:minor`. */
  readonly device: string;
  readonly root: string;
  readonly point: string;
}

/** Of `cut -d' ' -f3-5`; in the order in which they were mounted. */
export function parseMounts(text: string): readonly Mount[] {
  return text.split('\n').flatMap((line) => {
    const [device = '', root, point] = line.split(' ');
    return root === undefined || point === undefined ? [] : [{ device, root: plain(root), point: plain(point) }];
  });
}

/** Blanks and backslashes are written as three octal digits. */
function plain(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)));
}

/**
 * Where the node may see what a process with the mounts `inside` sees as `path`: most direct first. To be verified, since
 * one mount may hide another.
 */
export function candidates(path: string, inside: readonly Mount[], node: readonly Mount[]): readonly string[] {
  const over = inside
    .filter(({ point }) => isWithin(point, path))
    .reduce<Mount | undefined>(
      (deepest, mount) => (deepest === undefined || mount.point.length >= deepest.point.length ? mount : deepest),
      undefined,
    );
  if (over === undefined) return [];
  const onDevice = posix.join(over.root, posix.relative(over.point, path));
  return node.flatMap(({ device, root, point }) =>
    device === over.device && isWithin(root, onDevice) ? [posix.join(point, posix.relative(root, onDevice))] : [],
  );
}

/** Mount points strictly below `path`, sorted. */
export function mountsBelow(path: string, mounts: readonly Mount[]): readonly string[] {
  const points = mounts.map(({ point }) => point).filter((point) => point !== path && isWithin(path, point));
  return [...new Set(points)].sort();
}

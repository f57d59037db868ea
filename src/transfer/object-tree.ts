/** Owns how objects and open uploads lie in a tree of directories, whoever keeps that tree: their names, and what a walk finds. */
import { randomBytes } from 'node:crypto';
import { compareKeys, isKey } from '../domain/object-key.ts';
import type { OpenUpload } from '../ports.ts';

export interface TreeEntry {
  readonly name: string;
  /** 'other': links, pipes and the like, which are no objects. */
  readonly kind: 'file' | 'directory' | 'other';
}

/** What lies in the directory of that key (`''`, `prod/`); undefined when it is not there. */
export type ReadDirectory<E extends TreeEntry> = (directoryKey: string) => Promise<readonly E[] | undefined>;

// `.20261121T060000Z-17.db.1700000000000-0123456789abcdef.upload`: hidden, in the folder where the object will be.
const TEMPORARY = /^\.(.+)\.((\d{1,15})-[0-9a-f]{16})\.upload$/;
const UPLOAD_ID = /^\d{1,15}-[0-9a-f]{16}$/;

export function newUploadId(now: Date): string {
  return `${now.getTime()}-${randomBytes(8).toString('hex')}`;
}

export function isUploadId(id: string): boolean {
  return UPLOAD_ID.test(id);
}

/** Where the bytes of an upload lie until it is completed: beside the object at `path`. */
export function temporaryPath(path: string, id: string): string {
  return hiddenBeside(path, `${id}.upload`);
}

/** `a/b.db` and `x`: `a/.b.db.x`. No key has such a name. */
export function hiddenBeside(path: string, ending: string): string {
  const cut = path.lastIndexOf('/') + 1;
  return `${path.slice(0, cut)}.${path.slice(cut)}.${ending}`;
}

/** Every object under `prefix`, in the order of keys. Links are left out. */
export async function objectsIn<E extends TreeEntry>(
  read: ReadDirectory<E>,
  prefix: string,
): Promise<{ readonly key: string; readonly entry: E }[]> {
  const found: { key: string; entry: E }[] = [];
  for await (const { directoryKey, entry } of filesOnTheWay(read, prefix)) {
    const key = `${directoryKey}${entry.name}`;
    if (key.startsWith(prefix) && isKey(key)) found.push({ key, entry });
  }
  return found.sort((a, b) => compareKeys(a.key, b.key));
}

/** Every upload to a key under `prefix` that left its temporary file. */
export async function uploadsIn(read: ReadDirectory<TreeEntry>, prefix: string): Promise<OpenUpload[]> {
  const found: OpenUpload[] = [];
  for await (const { directoryKey, entry } of filesOnTheWay(read, prefix)) {
    const [, base = '', id, startedAt] = TEMPORARY.exec(entry.name) ?? [];
    const key = `${directoryKey}${base}`;
    if (id !== undefined && key.startsWith(prefix) && isKey(key))
      found.push({ key, id, startedAt: new Date(Number(startedAt)) });
  }
  return found;
}

/** Plain files of all directories that may hold something under `prefix`; hidden directories are left out. */
async function* filesOnTheWay<E extends TreeEntry>(
  read: ReadDirectory<E>,
  prefix: string,
): AsyncGenerator<{ directoryKey: string; entry: E }> {
  const start = prefix.slice(0, prefix.lastIndexOf('/') + 1);
  const directories = start === '' || isKey(start.slice(0, -1)) ? [start] : [];
  for (const directoryKey of directories) {
    for (const entry of (await read(directoryKey)) ?? []) {
      const below = `${directoryKey}${entry.name}/`;
      const onTheWay = below.startsWith(prefix) || prefix.startsWith(below);
      if (entry.kind === 'file') yield { directoryKey, entry };
      else if (entry.kind === 'directory' && !entry.name.startsWith('.') && onTheWay) directories.push(below);
    }
  }
}

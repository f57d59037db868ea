/** Owns what /proc says of processes: who is whose child, and whether a pid is still the process it was. */
import { readFile, readdir } from 'node:fs/promises';

/** A process, told apart from a later one with the same pid by its start time (clock ticks since boot). */
export interface ProcessId {
  readonly pid: number;
  readonly startedAt: string;
}

/** The process of this pid, or undefined when there is none (a zombie counts as none). */
export async function processOf(pid: number): Promise<ProcessId | undefined> {
  const found = await statOf(pid);
  return found === undefined || found.state === 'Z' ? undefined : { pid, startedAt: found.startedAt };
}

export async function isAlive(id: ProcessId): Promise<boolean> {
  return (await processOf(id.pid))?.startedAt === id.startedAt;
}

/** Pids of the processes below `pid`, parents before their children. */
export async function descendants(pid: number): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const parents = new Map<number, number>();
  for (const each of pids) {
    const found = await statOf(each);
    if (found !== undefined) parents.set(each, found.parent);
  }
  const below: number[] = [pid];
  for (const parent of below) {
    for (const [child, itsParent] of parents) if (itsParent === parent) below.push(child);
  }
  return below.slice(1);
}

/** The process's pid in the innermost process namespace it is in; undefined when it is gone. */
export async function innermostPid(pid: number): Promise<number | undefined> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const pids = /^NSpid:\s*(.*)$/m.exec(status)?.[1]?.split(/\s+/) ?? [];
  return pids.length === 0 ? undefined : Number(pids.at(-1));
}

async function statOf(pid: number): Promise<{ state: string; parent: number; startedAt: string } | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  // The program's name, in parentheses, may hold anything; fields are counted after it.
  const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state, parent] = fields ?? [];
  const startedAt = fields?.[19];
  if (state === undefined || parent === undefined || startedAt === undefined) return undefined;
  return { state, parent: Number(parent), startedAt };
}

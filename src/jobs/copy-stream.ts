/** Owns the way of a snapshot's bytes: read once, checked as etcd gave them, encoded, and handed to every copy. */
import { SnapshotCheck, type CheckedSnapshot } from '../domain/snapshot-check.ts';
import { isPlain, type Encoding } from '../domain/snapshot.ts';
import type { Clock, SnapshotCoder, SnapshotStream } from '../ports.ts';
import type { Copies } from './copies.ts';
import { Measure } from './measure.ts';

/** Progress is told at most so often. */
const PROGRESS_EVERY_MS = 1_000;

interface Way {
  readonly encoding: Encoding;
  readonly coder: SnapshotCoder;
  readonly copies: Copies;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Hears now and then how many bytes etcd gave so far. */
  readonly tellBytes: (bytes: number) => void;
}

interface Copied {
  readonly checked: CheckedSnapshot;
  /** The object; the snapshot itself where nothing is encoded. */
  readonly stored: CheckedSnapshot;
}

/** Reads to the end and closes. Throws etcd.*, ssh.*, store.*, compression.failed, encryption.failed. */
export async function copyStream(stream: SnapshotStream, way: Way): Promise<Copied> {
  const { encoding, coder, copies, signal } = way;
  try {
    const check = new SnapshotCheck();
    const chunks = followed(stream.chunks, check, way);
    if (isPlain(encoding)) {
      for await (const chunk of chunks) await copies.write(chunk);
      const checked = check.finish();
      return { checked, stored: checked };
    }
    const object = new Measure();
    for await (const chunk of object.of(coder.encode(encoding, chunks, signal))) await copies.write(chunk);
    return { checked: check.finish(), stored: object.finish() };
  } finally {
    stream.close();
  }
}

/** The same chunks, checked on their way. */
async function* followed(
  chunks: AsyncIterable<Uint8Array>,
  check: SnapshotCheck,
  { clock, tellBytes }: Way,
): AsyncGenerator<Uint8Array> {
  let toldAt = clock.now().getTime();
  for await (const chunk of chunks) {
    check.update(chunk);
    yield chunk;
    const now = clock.now().getTime();
    if (now - toldAt < PROGRESS_EVERY_MS) continue;
    toldAt = now;
    tellBytes(check.size);
  }
}

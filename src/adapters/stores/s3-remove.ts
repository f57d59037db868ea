/** Owns how an object goes for good: by the version that is shown, so that its bytes go too, and never behind a lock. */
import { DeleteObjectCommand, HeadObjectCommand, type HeadObjectCommandOutput } from '@aws-sdk/client-s3';
import { KeyturnError } from '../../domain/error.ts';
import type { AskOptions } from './asking.ts';
import type { S3Access } from './s3-client.ts';
import { describeS3Error, isAnswer, isDenied, isObjectMissing, isRefusal } from './s3-errors.ts';
import { keeps, lockOfBucket, lockOfObject, type ObjectLock, type S3Target } from './s3-lock.ts';

/** Of one key; Keyturn writes each name once or twice. */
const MOST_VERSIONS = 100;

/**
 * Where the bucket keeps versions, a plain DELETE would only put a mark before them: the bytes would stay and be paid for, and
 * a locked object would be hidden. Here each version that is shown goes, until none is. Throws store.locked.
 */
export async function removeObject(
  access: S3Access,
  target: S3Target,
  key: string,
  options: AskOptions = {},
): Promise<void> {
  for (let removed = 0; removed < MOST_VERSIONS; removed += 1) {
    const shown = await access.askIfThere(
      `look at ${key}`,
      (send) => access.client.send(new HeadObjectCommand(target), send),
      isObjectMissing,
      options,
    );
    if (!shown) return;
    await removeVersion(access, { ...target, VersionId: shown.VersionId }, key, options, shown);
    if (shown.VersionId === undefined) return;
  }
  throw new KeyturnError('store.refused', `Store ${access.place.store} has more and more versions of ${key}.`, {
    hint: `Remove them by hand, or let a lifecycle rule of bucket ${target.Bucket} do it.`,
  });
}

/** Exactly this version, or the object in a bucket without versions. `head`: what HEAD told of it. Throws store.locked. */
export async function removeVersion(
  access: S3Access,
  target: S3Target,
  key: string,
  options: AskOptions,
  head: HeadObjectCommandOutput | undefined,
): Promise<void> {
  let refusal: unknown;
  await access.askIfThere(
    `remove ${key}`,
    (send) => access.client.send(new DeleteObjectCommand(target), send),
    (error) => {
      const isGone = isObjectMissing(error) || isAnswer(error, 'NoSuchVersion');
      if (!isGone && isRefusal(error)) refusal = error;
      return isGone || refusal !== undefined;
    },
    options,
  );
  if (refusal !== undefined) throw await whyKept(access, target, key, options, refusal, head);
}

/** Servers call a lock AccessDenied, as if the access key were wrong: they are asked what it is. */
async function whyKept(
  access: S3Access,
  target: S3Target,
  key: string,
  options: AskOptions,
  refusal: unknown,
  head: HeadObjectCommandOutput | undefined,
): Promise<KeyturnError> {
  const refused = describeS3Error(access.place, `remove ${key}`, refusal);
  if (target.VersionId === undefined) return refused; // no lock without versions
  const told = { hold: head?.ObjectLockLegalHoldStatus === 'ON', until: head?.ObjectLockRetainUntilDate };
  const lock = keeps(access, told) ? told : await lockOfObject(access, target, key, options);
  if (lock) return keeps(access, lock) ? locked(access, key, lock) : refused;
  const bucket = await lockOfBucket(access, target.Bucket, options);
  return bucket.kind === 'on' && isDenied(refusal) ? perhapsLocked(access, target.Bucket, key) : refused;
}

function locked({ place, clock }: S3Access, key: string, { hold, until }: ObjectLock): KeyturnError {
  const time = until !== undefined && until > clock.now() ? `${until.toISOString().slice(0, 16)}Z` : undefined;
  const why = [time && `it is locked until ${time}`, hold && 'a legal hold is on it'].filter(Boolean).join(', and ');
  const release = hold ? 'Release it, or take the legal hold off in the store' : '';
  const wait = time === undefined ? '' : `wait until ${time}`;
  const todo = release && wait ? `${release}, and ${wait}` : release || `W${wait.slice(1)}`;
  return new KeyturnError('store.locked', `Store ${place.store} does not let go of ${key}: ${why}.`, {
    hint: `${todo}; then remove it again.`,
  });
}

function perhapsLocked({ place }: S3Access, bucket: string, key: string): KeyturnError {
  return new KeyturnError(
    'store.locked',
    `Store ${place.store} does not let go of ${key}, and does not tell us until when it is locked.`,
    {
      hint: `Let the access key use s3:GetObjectRetention, s3:GetObjectLegalHold and s3:DeleteObjectVersion in bucket ${bucket}.`,
    },
  );
}

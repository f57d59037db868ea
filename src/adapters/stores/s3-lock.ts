/** Owns object lock: whether a bucket has it, what keeps an object, and legal holds. */
import {
  GetObjectLegalHoldCommand,
  GetObjectLockConfigurationCommand,
  GetObjectRetentionCommand,
  PutObjectLegalHoldCommand,
  type DefaultRetention,
} from '@aws-sdk/client-s3';
import { KeyturnError } from '../../domain/error.ts';
import type { AskOptions, SendOptions } from './asking.ts';
import type { S3Access } from './s3-client.ts';
import { isAnswer, isDenied, isNotOffered, isObjectMissing } from './s3-errors.ts';

/** An object as HEAD and DELETE name it; with a version where the bucket keeps them. */
export interface S3Target {
  readonly Bucket: string;
  readonly Key: string;
  readonly VersionId?: string | undefined;
}

/** What keeps one version of an object. */
export interface ObjectLock {
  readonly hold: boolean;
  /** Nobody can remove it before; undefined when it has no such time. */
  readonly until: Date | undefined;
}

export type BucketLock =
  | { readonly kind: 'none' }
  /** `retention` is put on everything that is written. */
  | { readonly kind: 'on'; readonly retention: DefaultRetention | undefined }
  /** The access key may not look. */
  | { readonly kind: 'unknown' };

export async function lockOfBucket(access: S3Access, bucket: string, options: AskOptions = {}): Promise<BucketLock> {
  const found = await lookUp(
    access,
    `look at object lock of bucket ${bucket}`,
    (send) => access.client.send(new GetObjectLockConfigurationCommand({ Bucket: bucket }), send),
    options,
  );
  if (typeof found === 'string') return { kind: found };
  // A server that does not know the question may answer another one.
  const lock = found.told.ObjectLockConfiguration;
  return lock?.ObjectLockEnabled === 'Enabled'
    ? { kind: 'on', retention: lock.Rule?.DefaultRetention }
    : { kind: 'none' };
}

/** What keeps this version now; undefined when the access key may not look. */
export async function lockOfObject(
  access: S3Access,
  target: S3Target,
  key: string,
  options: AskOptions = {},
): Promise<ObjectLock | undefined> {
  const { client } = access;
  const what = `look at the lock of ${key}`;
  const retention = await lookUp(access, what, (s) => client.send(new GetObjectRetentionCommand(target), s), options);
  const hold = await lookUp(access, what, (s) => client.send(new GetObjectLegalHoldCommand(target), s), options);
  const lock: ObjectLock = {
    hold: typeof hold !== 'string' && hold.told.LegalHold?.Status === 'ON',
    until: typeof retention === 'string' ? undefined : retention.told.Retention?.RetainUntilDate,
  };
  const isKnown = (retention !== 'unknown' && hold !== 'unknown') || keeps(access, lock);
  return isKnown ? lock : undefined;
}

/** 'none': there is no such thing here. 'unknown': the access key may not look. */
async function lookUp<T>(
  access: S3Access,
  what: string,
  action: (options: SendOptions) => Promise<T>,
  options: AskOptions,
): Promise<{ readonly told: T } | 'none' | 'unknown'> {
  let refusal: unknown;
  const isAnswered = (error: unknown): boolean => {
    refusal = error;
    return isDenied(error) || hasNone(error) || isObjectMissing(error);
  };
  const told = await access.askIfThere(what, action, isAnswered, options);
  if (told !== undefined) return { told };
  return isDenied(refusal) ? 'unknown' : 'none';
}

export function keeps(access: S3Access, { hold, until }: ObjectLock): boolean {
  return hold || (until !== undefined && until > access.clock.now());
}

/** False when the bucket has no object lock; nothing was changed then. */
export async function setLegalHold(access: S3Access, target: S3Target, key: string, on: boolean): Promise<boolean> {
  const bucket = await lockOfBucket(access, target.Bucket);
  if (bucket.kind === 'none') return false;
  if (bucket.kind === 'unknown') throw mayNotLook(access, target.Bucket);
  const request = { ...target, LegalHold: { Status: on ? 'ON' : 'OFF' } as const };
  // MethodNotAllowed: what is shown there is the mark of a removal.
  const isGone = (error: unknown): boolean => !on && (isObjectMissing(error) || isAnswer(error, 'MethodNotAllowed'));
  await access.askIfThere(
    `${on ? 'put a legal hold on' : 'take the legal hold off'} ${key}`,
    (send) => access.client.send(new PutObjectLegalHoldCommand(request), send),
    isGone,
  );
  return true;
}

function hasNone(error: unknown): boolean {
  return (
    isNotOffered(error) || isAnswer(error, 'ObjectLockConfigurationNotFoundError', 'NoSuchObjectLockConfiguration')
  );
}

function mayNotLook({ place }: S3Access, bucket: string): KeyturnError {
  return new KeyturnError(
    'store.credentials',
    `Store ${place.store} does not tell whether bucket ${bucket} has object lock.`,
    {
      hint: `Let the access key use s3:GetBucketObjectLockConfiguration and s3:PutObjectLegalHold in bucket ${bucket}.`,
    },
  );
}

/** Owns what Azure itself keeps, whoever wants to remove it: legal holds and immutability policies. */
import type { BlobGetPropertiesResponse } from '@azure/storage-blob';
import type { AzureAccess } from './azure-client.ts';
import { describeAzureError, isBlobMissing, keptError, statusOf } from './azure-errors.ts';
import { ABORT_RETRY } from './tuning.ts';

/**
 * No error when it is gone already. Throws store.locked while something keeps it. The service would not say so of a blob
 * with versions: it would hide the blob, keep it as a version, and say that it is removed.
 */
export async function removeBlob(access: AzureAccess, key: string): Promise<void> {
  const what = `remove ${key}`;
  const found = await access.askIfThere(
    what,
    async (send) => (await access.blob(key)).getProperties(send),
    isBlobMissing,
  );
  if (!found) return;
  const kept = keptBy(found, access.clock.now());
  if (kept !== undefined) throw keptError(access.place, what, kept);
  await access.askIfThere(what, async (send) => (await access.blob(key)).delete(send), isBlobMissing);
}

function keptBy(found: BlobGetPropertiesResponse, now: Date): 'hold' | 'policy' | undefined {
  if (found.legalHold === true) return 'hold';
  const until = found.immutabilityPolicyExpiresOn?.getTime() ?? 0;
  return until > now.getTime() ? 'policy' : undefined;
}

/** True when a policy of the whole container keeps every blob. Who may not ask is told by the service when it matters. */
export async function keepsWhatIsWritten(access: AzureAccess, signal?: AbortSignal): Promise<boolean> {
  const found = await lookAtContainer(access, signal);
  return found?.hasImmutabilityPolicy === true || found?.hasLegalHold === true;
}

/** Undefined when the service does not tell, as to those who come with a SAS token of the container. */
async function lookAtContainer(access: AzureAccess, signal?: AbortSignal) {
  return access.askIfThere(
    'look at the container',
    async (send) => (await access.container()).getProperties(send),
    () => true,
    { retry: ABORT_RETRY, signal },
  );
}

/**
 * Whether the service keeps the blob, or has let go of it, as asked. False where the container has no version-level
 * immutability, without which there are no legal holds of blobs (with a SAS token nobody may ask for that; then a refusal
 * that says nothing else counts as this one); and when the hold of a blob is taken off that is gone.
 */
export async function setLegalHold(access: AzureAccess, key: string, on: boolean): Promise<boolean> {
  const what = on ? `put a legal hold on ${key}` : `take the legal hold off ${key}`;
  let refusal: unknown;
  const answer = await access.askIfThere(
    what,
    async (send) => (await access.blob(key)).setLegalHold(on, send),
    (error) => {
      refusal = error;
      return (!on && isBlobMissing(error)) || [400, 409, 501].includes(statusOf(error) ?? 0);
    },
  );
  if (answer) return true;
  if (isBlobMissing(refusal) || statusOf(refusal) === 501) return false;
  const refused = describeAzureError(access.place, what, refusal);
  const container = await lookAtContainer(access);
  const hasHolds = container
    ? container.isImmutableStorageWithVersioningEnabled === true
    : refused.code !== 'store.refused';
  if (hasHolds) throw refused;
  return false;
}

/** Owns the identity that the environment has for Azure: managed, workload, or a service principal in variables. */
import type { TokenCredential } from '@azure/identity';

/** Loads its package when it is made. A token that does not come within `withinMs`, or before the signal, is given up. */
export async function environmentIdentity(withinMs: number): Promise<TokenCredential> {
  const { CredentialUnavailableError, DefaultAzureCredential } = await import('@azure/identity');
  const identity = new DefaultAzureCredential();
  return {
    async getToken(scopes, options = {}) {
      const given = options.abortSignal as AbortSignal | undefined;
      const limit = AbortSignal.any([AbortSignal.timeout(withinMs), ...(given ? [given] : [])]);
      const givenUp = new Promise<never>((_, reject) => {
        const giveUp = () => reject(new CredentialUnavailableError('no answer'));
        limit.addEventListener('abort', giveUp, { once: true });
        if (limit.aborted) giveUp();
      });
      return Promise.race([identity.getToken(scopes, { ...options, abortSignal: limit }), givenUp]);
    },
  };
}

/** Owns how the `ssh` sections of defaults, cluster and node come to one login. */

export const AUTH_KEYS = ['keyFile', 'agent', 'passwordFile'] as const;

/** Later layers win; a layer that names a way of logging in replaces the inherited one. */
export function mergeLogin(layers: readonly Record<string, unknown>[]): Record<string, unknown> {
  return layers.reduce<Record<string, unknown>>((merged, layer) => {
    const own = AUTH_KEYS.some((key) => layer[key] !== undefined);
    const kept = own ? Object.fromEntries(Object.entries(merged).filter(([key]) => !isAuthKey(key))) : merged;
    return { ...kept, ...layer };
  }, {});
}

function isAuthKey(key: string): boolean {
  return key === 'passphraseFile' || AUTH_KEYS.some((known) => known === key);
}

/** Owns reading the app's manifest, so that the local workspace grants exactly what the manifest asks of Slack. */
import type { AppCommand } from './core.ts';
import { isJson, textIn, type Json } from './state.ts';

export interface ManifestApp {
  readonly commands: readonly AppCommand[];
  readonly scopes: readonly string[];
  readonly events: readonly string[];
}

/** Takes a parsed Slack app manifest; what is missing in it is empty in the answer. */
export function appFromManifest(manifest: unknown): ManifestApp {
  const root = objectAt(manifest);
  const features = objectAt(root['features']);
  const commands = Array.isArray(features['slash_commands']) ? features['slash_commands'].filter(isJson) : [];
  return {
    commands: commands.map((one) => ({
      command: textIn(one, 'command'),
      description: textIn(one, 'description'),
      usageHint: textIn(one, 'usage_hint'),
    })),
    scopes: texts(objectAt(objectAt(root['oauth_config'])['scopes'])['bot']),
    events: texts(objectAt(objectAt(root['settings'])['event_subscriptions'])['bot_events']),
  };
}

function objectAt(value: unknown): Json {
  return isJson(value) ? value : {};
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : [];
}

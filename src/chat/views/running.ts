/** Owns the phrase that tells what is being done to a cluster. Pure. */
import type { Running } from '../../commands/running.ts';
import { date, md } from '../blocks.ts';
import type { Mrkdwn } from '../blocks.ts';
import { triggeredBy } from './backup.ts';

/** `⏳ backup running since 06:00, asked by @maya`. */
export function runningPhrase(running: Running): Mrkdwn {
  const by = running.trigger === undefined ? md`` : md`, ${triggeredBy(running.trigger)}`;
  return running.kind === 'running'
    ? md`⏳ backup running since ${date(running.since)}${by}`
    : md`🕓 backup queued since ${date(running.since)}${by}`;
}

/** Owns the phrase that tells what is being done to a cluster. Pure. */
import type { Running } from '../../commands/running.ts';
import { date, mrk } from '../blocks.ts';
import type { Mrkdwn } from '../blocks.ts';
import { triggeredBy } from './backup.ts';

const WORDS: Readonly<Record<Running['what'], Mrkdwn>> = {
  backup: mrk`backup`,
  sweep: mrk`clean-up after a failed backup`,
  restore: mrk`restore`,
  cleanup: mrk`clean-up after a restore`,
  verify: mrk`verification`,
  scrub: mrk`scrub`,
  repair: mrk`repair of a copy`,
  retention: mrk`retention`,
  hold: mrk`change of a hold`,
};

/** `⏳ backup running since 06:00, asked by @maya`. */
export function runningPhrase(running: Running): Mrkdwn {
  const by = running.trigger === undefined ? mrk`` : mrk`, ${triggeredBy(running.trigger)}`;
  const what = WORDS[running.what];
  return running.kind === 'running'
    ? mrk`⏳ ${what} running since ${date(running.since)}${by}`
    : mrk`🕓 ${what} queued since ${date(running.since)}${by}`;
}

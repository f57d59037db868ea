/** A process that records facts one after the other until it is ended, and says of each when it is kept; see audit.test.ts. */
import { auditTrail } from '../../src/adapters/audit/trail.ts';
import { systemClock } from '../../src/adapters/clock.ts';

const [folder = '', count = '0'] = process.argv.slice(2);
const nothing = (): void => undefined;
const log = { debug: nothing, info: nothing, warn: nothing, error: nothing };
const audit = auditTrail({ folder, store: undefined, clock: systemClock, log });

for (let i = 0; i < Number(count); i++) {
  // A fact that could not be kept is tried again, as those who must be sure do.
  for (let tries = 0; tries < 5; tries++) {
    const kept = await audit.record({ type: 'test', number: i, text: 'é'.repeat(50) }).then(
      () => true,
      () => false,
    );
    if (kept) {
      process.stdout.write(`${i}\n`);
      break;
    }
  }
}
await audit.close();

/** Owns `npm run bench -- <benchmark>`: what can be measured, with which options, and how results are printed. */
import { Command, InvalidArgumentError } from 'commander';
import { becomeRoot, defaultCacheDir } from '../../deploy/local/parts/host.ts';
import { pathWithTools } from '../../deploy/local/parts/tools.ts';
import { benchAcks } from './acks.ts';
import { benchBackup } from './backup.ts';
import { benchCatalogue } from './catalogue.ts';
import { benchRestore } from './restore.ts';
import type { Result } from './results.ts';

const GIB = 1024 ** 3;

function bytes(text: string): number {
  const [, number, unit = ''] = /^(\d+)(|MiB|GiB)$/.exec(text) ?? [];
  if (number === undefined) throw new InvalidArgumentError('expected bytes, e.g. 1GiB or 256MiB');
  return Number(number) * ({ '': 1, MiB: 1024 ** 2, GiB: GIB }[unit] ?? 1);
}

function count(text: string): number {
  if (!/^[1-9]\d?$/.test(text)) throw new InvalidArgumentError('expected 1 to 99');
  return Number(text);
}

function many(text: string): number {
  if (!/^[1-9]\d{3,5}$/.test(text) || Number(text) < 2000) throw new InvalidArgumentError('expected 2000 to 999999');
  return Number(text);
}

const program = new Command('bench').description('Measures Keyturn on real parts on this machine');

program
  .command('backup')
  .description('a backup over SSH into S3 against the classic script (etcdctl snapshot save, s3cmd put)')
  .option('--json', 'one JSON object a line: name, value, unit, runs')
  .option('--size <bytes>', 'size of the database', bytes, GIB)
  .option('--runs <count>', 'rounds of each measurement', count, 3)
  .action(async ({ json, size, runs }: { json?: true; size: number; runs: number }) => {
    await becomeRoot();
    process.env['PATH'] = await pathWithTools({ cacheDir: defaultCacheDir(), onProgress });
    await benchBackup({ size, runs, onResult: printer(json), onProgress });
  });

program
  .command('acks')
  .description('how soon slash commands are acked while a backup runs, against an idle bot')
  .option('--json', 'one JSON object a line: name, value, unit, runs')
  .option('--runs <count>', 'rounds of 200 commands each', count, 3)
  .action(async ({ json, runs }: { json?: true; runs: number }) => {
    await becomeRoot();
    await benchAcks({ runs, onResult: printer(json), onProgress });
  });

program
  .command('restore')
  .description('a restore of three nodes against procedure E by hand: how long the API is down')
  .option('--json', 'one JSON object a line: name, value, unit, runs')
  .option('--size <bytes>', 'size of the database', bytes, GIB)
  .option('--runs <count>', 'rounds of each', count, 3)
  .action(async ({ json, size, runs }: { json?: true; size: number; runs: number }) => {
    await becomeRoot();
    await benchRestore({ size, runs, onResult: printer(json), onProgress });
  });

program
  .command('catalogue')
  .description('very many snapshots in one place: the list, a page of it, and what reading every manifest would take')
  .option('--json', 'one JSON object a line: name, value, unit, runs')
  .option('--count <count>', 'snapshots, from 2000', many, 10_000)
  .option('--runs <count>', 'rounds of each measurement', count, 5)
  .action(async ({ json, count: snapshots, runs }: { json?: true; count: number; runs: number }) => {
    await becomeRoot();
    await benchCatalogue({ count: snapshots, runs, onResult: printer(json), onProgress });
  });

function printer(json: true | undefined): (result: Result) => void {
  return ({ name, value, unit, runs }) =>
    console.log(
      json === true
        ? JSON.stringify({ name, value, unit, runs })
        : `${name.padEnd(36)} ${String(value).padStart(12)} ${unit}`,
    );
}

function onProgress(line: string): void {
  console.error(line);
}

await program.parseAsync();

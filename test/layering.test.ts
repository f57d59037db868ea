/** Owns one rule: who may import whom (design.md), as .dependency-cruiser.cjs states it. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const run = promisify(execFile);

test('every import in src keeps to the layering', async () => {
  const result = await run('node_modules/.bin/depcruise', ['src', '--config', '.dependency-cruiser.cjs']).catch(
    (error: unknown) => error as { stdout: string },
  );
  expect(result.stdout).toContain('no dependency violations found');
}, 60_000);

import { expect, test } from 'vitest';
import { environmentFilesOf, isMeantToRun, startedBy, workingDirectoryOf } from '../../../src/adapters/etcd/units.ts';

/** As systemd 257 prints it. */
const SHOWN = `ExecStart={ path=/opt/etcd/bin/etcd ; argv[]=/opt/etcd/bin/etcd --name=\${ETCD_NAME} $MORE $NONE ; ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }
Environment=A=1 "B=two words" ETCD_NAME=first
EnvironmentFiles=/opt/etcd/cfg/etcd.conf (ignore_errors=no)
EnvironmentFiles=/etc/my settings (ignore_errors=yes)
LoadState=loaded
ActiveState=inactive
WantedBy=multi-user.target
RequiredBy=
WorkingDirectory=!/srv/etcd
`;

test('a unit starts its command with the variables of its files in place', () => {
  const { argv, environment } = startedBy(SHOWN, [
    'ETCD_NAME="cp1"\nMORE="--data-dir=/d \\\n--quota-backend-bytes=1"\n',
  ]);
  expect(argv).toEqual(['/opt/etcd/bin/etcd', '--name=cp1', '--data-dir=/d', '--quota-backend-bytes=1']);
  expect(environment).toContain('B=two words');
  expect(startedBy('', [])).toEqual({ argv: [], environment: [] });
});

test('its environment files are told with whether they may be missing', () => {
  expect(environmentFilesOf(SHOWN)).toEqual([
    { path: '/opt/etcd/cfg/etcd.conf', mayBeMissing: false },
    { path: '/etc/my settings', mayBeMissing: true },
  ]);
});

test('its command runs in its working directory, by default in the root', () => {
  expect(workingDirectoryOf(SHOWN)).toBe('/srv/etcd');
  expect(workingDirectoryOf('WorkingDirectory=\n')).toBe('/');
});

test.each([
  ['something starts it', 'LoadState=loaded\nActiveState=failed\nRequiredBy=a.target', true],
  ['it runs', 'LoadState=loaded\nActiveState=activating\nWantedBy=', true],
  ['a package only brought it along', 'LoadState=loaded\nActiveState=inactive\nWantedBy=\nRequiredBy=', false],
  ['it is masked', 'LoadState=masked\nActiveState=inactive\nWantedBy=multi-user.target', false],
  ['there is no systemd', '', false],
])('whether it is meant to run: %s', (_, shown, expected) => {
  expect(isMeantToRun(shown)).toBe(expected);
});

/** Holds the S3 store against Swift when Swift, the line to it, or what we were told about it fails. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/adapters/clock.ts';
import { s3Store, type S3Tuning } from '../../src/adapters/stores/s3.ts';
import { servicesRootfs, startTestS3 } from '../adapters/stores/swift.ts';
import { snapshotStoreFaults } from '../contracts/snapshot-store-faults.ts';
import { startThrottle } from '../support/throttle.ts';
import { selfSigned, startTlsProxy } from '../support/tls.ts';

/** The smallest part that real servers take. */
const PART = 5 * 1024 * 1024;
const quick: Partial<S3Tuning> = {
  partSize: PART,
  retry: { tries: 5, pauseMs: 300, withinMs: 20_000 },
  connectTimeoutMs: 1_000,
  idleTimeoutMs: 1_000,
};

snapshotStoreFaults('S3, as Swift speaks it,', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'keyturn-tls-'));
  const s3 = await startTestS3();
  const certificate = await selfSigned(await servicesRootfs(), dir, 'DNS:other.example');
  const proxy = await startTlsProxy(s3.endpoint, certificate);
  const { hostname, port } = new URL(s3.endpoint);
  const { credentials } = s3.options;
  if (!credentials) throw new Error('no credentials');
  const wrong = { ...credentials, secretAccessKey: 'PLANTED-wrong-secret' };
  const ends = [() => rm(dir, { recursive: true }), () => s3.remove(), () => proxy.close()];
  return {
    store: s3Store(s3.options, systemClock, quick),
    seenAfterBytes: PART,
    kill: () => s3.kill9(),
    restart: () => s3.restart(),
    pause: () => s3.pause(),
    resume: () => s3.resume(),
    async slow(bytesPerSecond) {
      const throttle = await startThrottle({ target: { host: hostname, port: Number(port) }, bytesPerSecond });
      ends.push(() => throttle.close());
      return s3Store({ ...s3.options, endpoint: `http://127.0.0.1:${throttle.port}` }, systemClock);
    },
    async full(bytes) {
      const small = await startTestS3({ quota: bytes });
      ends.push(() => small.remove());
      return s3Store(small.options, systemClock, quick);
    },
    wrongCredentials: s3Store({ ...s3.options, credentials: wrong }, systemClock),
    wrongPeer: {
      store: s3Store({ ...s3.options, endpoint: proxy.endpoint, caFile: certificate.certFile }, systemClock),
      names: ['127.0.0.1', 'other.example'],
    },
    secrets: [credentials.secretAccessKey, wrong.secretAccessKey],
    async close() {
      for (const end of ends.reverse()) await end();
    },
  };
});

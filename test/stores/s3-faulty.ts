/** The S3 store on a real server that can be made to fail, whichever server it is. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/adapters/clock.ts';
import { s3Store, type S3StoreOptions, type S3Tuning } from '../../src/adapters/stores/s3.ts';
import { servicesRootfs } from '../adapters/stores/swift.ts';
import type { FaultyStore } from '../contracts/snapshot-store-faults.ts';
import { startThrottle } from '../support/throttle.ts';
import { selfSigned, startTlsProxy } from '../support/tls.ts';

/** The smallest part that real servers take. */
export const PART = 5 * 1024 * 1024;
export const quick: Partial<S3Tuning> = {
  partSize: PART,
  retry: { tries: 5, pauseMs: 300, withinMs: 20_000 },
  connectTimeoutMs: 1_000,
  idleTimeoutMs: 1_000,
};

export interface FaultyServer {
  readonly options: S3StoreOptions;
  /** A place with so little room. */
  small(bytes: number): Promise<S3StoreOptions>;
  kill9(): Promise<void>;
  restart(): Promise<void>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  remove(): Promise<void>;
}

export async function faultyS3(server: FaultyServer): Promise<FaultyStore> {
  const { options } = server;
  const dir = await mkdtemp(join(tmpdir(), 'keyturn-tls-'));
  const endpoint = options.endpoint ?? '';
  const { hostname, port } = new URL(endpoint);
  const certificate = await selfSigned(await servicesRootfs(), dir, 'DNS:other.example');
  const proxy = await startTlsProxy(endpoint, certificate);
  const { credentials } = options;
  if (!credentials) throw new Error('no credentials');
  const wrong = { ...credentials, secretAccessKey: 'PLANTED-wrong-secret' };
  const ends = [() => rm(dir, { recursive: true }), () => server.remove(), () => proxy.close()];
  return {
    store: s3Store(options, systemClock, quick),
    seenAfterBytes: PART,
    kill: () => server.kill9(),
    restart: () => server.restart(),
    pause: () => server.pause(),
    resume: () => server.resume(),
    async slow(bytesPerSecond) {
      const throttle = await startThrottle({ target: { host: hostname, port: Number(port) }, bytesPerSecond });
      ends.push(() => throttle.close());
      return s3Store({ ...options, endpoint: `http://127.0.0.1:${throttle.port}` }, systemClock);
    },
    full: async (bytes) => s3Store(await server.small(bytes), systemClock, quick),
    wrongCredentials: s3Store({ ...options, credentials: wrong }, systemClock),
    wrongPeer: {
      store: s3Store({ ...options, endpoint: proxy.endpoint, caFile: certificate.certFile }, systemClock),
      names: ['127.0.0.1', 'other.example'],
    },
    secrets: [credentials.secretAccessKey, wrong.secretAccessKey],
    async close() {
      for (const end of ends.reverse()) await end();
    },
  };
}

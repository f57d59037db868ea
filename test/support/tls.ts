/** Owns TLS in front of plain servers, for tests: a certificate of the test's own, and a proxy on the loopback address that shows it. */
import { once } from 'node:events';
import { mkdir, readFile } from 'node:fs/promises';
import { connect, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { execa } from 'execa';
import { loaderOf, programOf } from '../../deploy/local/parts/programs.ts';

export interface Certificate {
  /** PEM, both. */
  readonly key: string;
  readonly cert: string;
  /** The file with `cert`; it signs itself. */
  readonly certFile: string;
}

/** Made with the openssl of `rootfs`. `name` as in a subjectAltName: `IP:127.0.0.1`, `DNS:a.example`. Files go to `dir`. */
export async function selfSigned(rootfs: string, dir: string, name: string): Promise<Certificate> {
  await mkdir(dir, { recursive: true });
  const request = [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
    ...['-subj', '/CN=test', '-addext', `subjectAltName=${name}`, '-keyout', 'key.pem', '-out', 'cert.pem'],
  ];
  const [openssl, ...args] = programOf(await loaderOf(rootfs), 'usr/bin/openssl', request);
  await execa(openssl, args, { cwd: dir, env: { OPENSSL_CONF: join(rootfs, 'etc/ssl/openssl.cnf') } });
  const read = (file: string) => readFile(join(dir, file), 'utf8');
  return { key: await read('key.pem'), cert: await read('cert.pem'), certFile: join(dir, 'cert.pem') };
}

export interface TlsProxy {
  /** `https://127.0.0.1:PORT` */
  readonly endpoint: string;
  close(): Promise<void>;
}

/** What comes over TLS goes on to the plain server at `target`, e.g. `http://127.0.0.1:8080`. */
export async function startTlsProxy(target: string, { key, cert }: Certificate): Promise<TlsProxy> {
  const { hostname, port } = new URL(target);
  const ends = new Set<() => void>();
  const server = createServer({ key, cert }, (near) => {
    const far = connect(Number(port), hostname);
    const end = (): void => {
      ends.delete(end);
      near.destroy();
      far.destroy();
    };
    ends.add(end);
    for (const socket of [near, far]) socket.on('error', end).on('close', end);
    near.pipe(far).pipe(near);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    endpoint: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      const closed = once(server, 'close');
      server.close();
      for (const end of ends) end();
      await closed;
    },
  };
}

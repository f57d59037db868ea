/** Owns the local S3 server: OpenStack Swift with s3api from the services' root file system, without touching the host. */
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LocalPartsError } from '../parts/problem.ts';
import { ownLoopbackAddress, startContained, type ServerHands } from './contained.ts';

export interface S3Options {
  /** Data, configuration and log; made when missing, kept when stopped. */
  readonly dir: string;
  /** What `ensureRootfs('services')` answers. */
  readonly rootfs: string;
  /** Network namespace to live in, by name or path; its loopback must be up. Undefined: the caller's own. */
  readonly netns?: string;
  /** Address to listen on; default 127.0.0.1. */
  readonly host?: string;
  readonly port: number;
  /** `account:user`, as Swift wants it. */
  readonly accessKey: string;
  readonly secretKey: string;
  /** Made when missing. */
  readonly bucket: string;
  /** Keep data in memory, at most so many bytes (and lose it when stopped): how a store gets full. */
  readonly sizeLimit?: number;
  /** Bytes that the bucket may hold; what would pass it is refused for good, as a real quota does. Undefined: none. */
  readonly quota?: number;
}

export interface LocalS3 extends ServerHands {
  /** `http://127.0.0.1:8080`; path-style, region us-east-1. */
  readonly endpoint: string;
}

const program = fileURLToPath(new URL('swift-servers.py', import.meta.url));

/** Starts Swift and resolves when the bucket is there (about 2 s). It ends with this process, however that ends. */
export async function startS3(options: S3Options): Promise<LocalS3> {
  if (!options.accessKey.includes(':')) {
    throw new LocalPartsError(`${options.accessKey} is no access key for Swift.`, { hint: 'Use account:user.' });
  }
  await configure(options);
  const { dir, rootfs, netns, sizeLimit } = options;
  const swift = await startContained({
    what: 'The local S3 server',
    dir,
    netns,
    script,
    args: [rootfs, dir, sizeLimit === undefined ? '' : `size=${sizeLimit}`],
    hint: `See that port ${options.port} is free.`,
  });
  return { endpoint: `http://${options.host ?? '127.0.0.1'}:${options.port}`, ...swift.hands };
}

async function configure(options: S3Options): Promise<void> {
  const { dir, rootfs } = options;
  const etc = join(dir, 'etc');
  await mkdir(etc, { recursive: true, mode: 0o700 });
  for (const name of ['data', 'root']) await mkdir(join(dir, name), { recursive: true });
  for (const [name, text] of Object.entries(configuration(options, ownLoopbackAddress())))
    await writeFile(join(etc, name), text, { mode: 0o600 });
  await copyFile(join(rootfs, 'etc/swift/mime.types'), join(etc, 'mime.types')).catch(() => undefined);
  await copyFile(program, join(etc, 'swift-servers.py'));
}

/** Swift's configuration files, by name. One process each: this is a store for one machine. */
function configuration(options: S3Options, ip: string): Record<string, string> {
  const { port, accessKey, secretKey, bucket, quota, host = '127.0.0.1' } = options;
  const [account = '', user = ''] = accessKey.split(':');
  const user64 = [account, user].map((part) => Buffer.from(part).toString('base64').replace(/=+$/, '')).join('_');
  const storage = (kind: string, storagePort: number, more = '') => `[DEFAULT]
bind_ip = ${ip}
bind_port = ${storagePort}
workers = 0
user = root
devices = /srv/node
mount_check = false
log_level = WARNING
[pipeline:main]
pipeline = ${kind}-server
[app:${kind}-server]
use = egg:swift#${kind}
${more}`;
  return {
    'keyturn.json': JSON.stringify({ ip, host, port, accessKey, secretKey, bucket, quota }),
    'swift.conf': '[swift-hash]\nswift_hash_path_prefix = keyturn\nswift_hash_path_suffix = keyturn\n',
    'memcache.conf': `[memcache]\nmemcache_servers = ${ip}:11211\n`,
    'account-server.conf': storage('account', 6202),
    'container-server.conf': storage('container', 6201),
    'object-server.conf': storage(
      'object',
      6200,
      'disk_chunk_size = 262144\nnetwork_chunk_size = 262144\nmb_per_sync = 64\n',
    ),
    'proxy-server.conf': `[DEFAULT]
bind_ip = ${host}
bind_port = ${port}
workers = 0
user = root
log_level = WARNING
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache listing_formats bulk s3api tempauth copy container-quotas slo dlo symlink proxy-server
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:cache]
use = egg:swift#memcache
memcache_servers = ${ip}:11211
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user64_${user64} = ${secretKey} .admin
[filter:copy]
use = egg:swift#copy
[filter:container-quotas]
use = egg:swift#container_quotas
[filter:slo]
use = egg:swift#slo
# Parts go with their object: nothing runs here that would clear them up later.
allow_async_delete = false
[filter:dlo]
use = egg:swift#dlo
[filter:symlink]
use = egg:swift#symlink
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
object_chunk_size = 262144
client_chunk_size = 262144
# A server that failed once is asked again soon: there is no other.
error_suppression_interval = 0.1
error_suppression_limit = 1000000
${quota === undefined ? '' : '# A quota is held against what the bucket has now, not against what is remembered of it.\nrecheck_container_existence = -1\n'}`,
  };
}

const script = `
root=$2/root
mount --bind "$1" "$root"
mount -o remount,bind,ro "$root"
mount --bind "$2/etc" "$root/etc/swift"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
for place in tmp run var/cache var/log; do mount -t tmpfs -o size=16m tmpfs "$root/$place"; done
if [ -n "$3" ]; then mount -t tmpfs -o "$3" tmpfs "$root/srv"; else mount --bind "$2/data" "$root/srv"; fi
mkdir -p "$root/srv/node/d1" "$root/var/cache/swift"
exec chroot "$root" python3 /etc/swift/swift-servers.py
`;

/** Owns the local Ceph: monitor, disk daemon and RADOS Gateway from a root file system of their own: S3 with object lock, versions and conditional writes. */
import { randomUUID } from 'node:crypto';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { LocalPartsError } from '../parts/problem.ts';
import { ownLoopbackAddress, startContained, type ServerHands } from './contained.ts';

export interface CephOptions {
  /** Data, configuration and log; made when missing, kept when stopped. */
  readonly dir: string;
  /** What `ensureRootfs('ceph')` answers. */
  readonly rootfs: string;
  /** Network namespace to live in, by name or path; its loopback must be up. Undefined: the caller's own. */
  readonly netns?: string;
  /** Of 127.0.0.1. */
  readonly port: number;
  readonly accessKey: string;
  readonly secretKey: string;
}

export interface CephBucket {
  readonly name: string;
  /** Also turns versioning on; can't be turned off again. */
  readonly objectLock?: boolean;
  /** With object lock: whatever is written is locked for so many days, in governance mode. */
  readonly retentionDays?: number;
  readonly versioning?: boolean;
  /** Bytes that it may hold. */
  readonly quota?: number;
}

export interface LocalCeph extends ServerHands {
  /** `http://127.0.0.1:8080`; path-style, region us-east-1. */
  readonly endpoint: string;
  makeBucket(bucket: CephBucket): Promise<void>;
}

/** A key that the gateway knows for server-side encryption with `aws:kms`: its stand-in for a key server. */
export const CEPH_KMS_KEY = 'keyturn-test';

const program = fileURLToPath(new URL('ceph-servers.py', import.meta.url));

/** Starts Ceph, without a bucket, and resolves when S3 is served (about 15 s on a new `dir`). It ends with this process, however that ends. */
export async function startCeph(options: CephOptions): Promise<LocalCeph> {
  await configure(options);
  const { dir, rootfs, netns, port } = options;
  const ceph = await startContained({
    what: 'The local Ceph',
    dir,
    netns,
    script,
    args: [rootfs, dir],
    // With monitor and disk frozen in the midst of a write the gateway never gets going again.
    front: 'radosgw',
    hint: `See that port ${port} is free and that there are 2 GB of free disk.`,
  });
  return {
    ...ceph.hands,
    endpoint: `http://127.0.0.1:${port}`,
    async makeBucket(bucket) {
      const first = await ceph.first();
      if (first === undefined) throw new LocalPartsError('The local Ceph does not run.', { hint: 'Start it.' });
      const inside = [`--target=${first}`, '--mount', '--net', '--pid', '--root', '--wd=/'];
      await execa('nsenter', [...inside, 'python3', '/etc/ceph/ceph-servers.py', 'bucket', JSON.stringify(bucket)]);
    },
  };
}

async function configure(options: CephOptions): Promise<void> {
  const etc = join(options.dir, 'etc');
  await mkdir(etc, { recursive: true, mode: 0o700 });
  for (const name of ['data', 'root']) await mkdir(join(options.dir, name), { recursive: true });
  const { port, accessKey, secretKey } = options;
  const ip = ownLoopbackAddress();
  const settings = JSON.stringify({ ip, host: '127.0.0.1', port, accessKey, secretKey });
  await writeFile(join(etc, 'keyturn.json'), settings, { mode: 0o600 });
  await writeFile(join(etc, 'ceph.conf'), configuration(port, ip), { mode: 0o600 });
  await copyFile(program, join(etc, 'ceph-servers.py'));
}

/** Of one machine, with one copy of everything. */
function configuration(port: number, ip: string): string {
  return `[global]
fsid = ${randomUUID()}
mon_host = [v2:${ip}:3300]
mon_initial_members = a
public_addr = ${ip}
cluster_addr = ${ip}
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
keyring = /var/lib/ceph/keyring
mon_data = /var/lib/ceph/mon
# The disks of machines that tests run on are often nearly full.
mon_data_avail_crit = 1
mon_data_avail_warn = 1
mon_allow_pool_size_one = true
mon_cluster_log_to_file = false
# Changes of its maps are made at once, not once a second.
paxos_propose_interval = 0.02
paxos_min_wait = 0.01
log_to_stderr = true
log_file =
osd_data = /var/lib/ceph/osd
# A file with holes: it takes what is written.
osd_objectstore = bluestore
bluestore_block_size = 8589934592
osd_memory_target = 939524096
osd_crush_chooseleaf_type = 0
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pg_autoscale_mode = off
rgw_frontends = beast endpoint=127.0.0.1:${port}
rgw_thread_pool_size = 32
# With a cache, changes of buckets would wait half a minute for a gateway that was killed to forget what it had.
rgw_cache_enabled = false
# A quota is held against what the bucket has now, not against what is remembered of it.
rgw_bucket_quota_ttl = 0
rgw_crypt_require_ssl = false
rgw_crypt_s3_kms_backend = testing
rgw_crypt_s3_kms_encryption_keys = ${CEPH_KMS_KEY}=${Buffer.alloc(32, 'keyturn').toString('base64')}
[osd.0]
keyring = /var/lib/ceph/osd/keyring
`;
}

const script = `
root=$2/root
mount --bind "$1" "$root"
mount -o remount,bind,ro "$root"
mount --bind "$2/etc" "$root/etc/ceph"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
for place in tmp run var/log; do mount -t tmpfs -o size=64m tmpfs "$root/$place"; done
mount --bind "$2/data" "$root/var/lib/ceph"
exec chroot "$root" python3 /etc/ceph/ceph-servers.py serve
`;

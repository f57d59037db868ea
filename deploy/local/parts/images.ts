/** Owns container images that are made by hand: files in, one archive out, as `docker save` writes it. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { execa } from 'execa';
import type { Loader } from './programs.ts';

export interface ImageSpec {
  /** References without a registry, e.g. `local/etcd:3.5.16`. */
  readonly tags: readonly string[];
  /** What is run when the pod names no command. */
  readonly entrypoint?: readonly string[];
}

/** Writes `file` from the folder `content`, which becomes the image's root; everything in it will belong to root. */
export async function writeImage(spec: ImageSpec, content: string, file: string): Promise<void> {
  const parts = `${file}.parts`;
  await rm(parts, { recursive: true, force: true });
  await mkdir(join(parts, 'layer'), { recursive: true });
  const layer = join(parts, 'layer/layer.tar');
  await execa('tar', ['-C', content, '--owner=0', '--group=0', '--numeric-owner', '--sort=name', '-cf', layer, '.']);
  const config = JSON.stringify({
    architecture: architecture(),
    os: 'linux',
    config: {
      Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      ...(spec.entrypoint === undefined ? {} : { Entrypoint: spec.entrypoint }),
    },
    rootfs: { type: 'layers', diff_ids: [`sha256:${await digestOf(layer)}`] },
  });
  await writeFile(join(parts, 'config.json'), config);
  const manifest = [{ Config: 'config.json', RepoTags: spec.tags, Layers: ['layer/layer.tar'] }];
  await writeFile(join(parts, 'manifest.json'), JSON.stringify(manifest));
  await execa('tar', ['-C', parts, '-cf', `${file}.part`, 'manifest.json', 'config.json', 'layer/layer.tar']);
  await rename(`${file}.part`, file);
  await rm(parts, { recursive: true });
}

/** Copies a program of an unpacked Debian, with the libraries that it needs, to the same paths below `content`. */
export async function copyProgram(
  { rootfs, file, libraries }: Loader,
  program: string,
  content: string,
): Promise<void> {
  const { stdout } = await execa(file, ['--library-path', libraries, '--list', join(rootfs, program)], {
    reject: false,
  });
  const needed = [...stdout.matchAll(/(?:=> |^\s*)(\/\S+) \(0x/gm)].map(([, path = '']) => path);
  for (const path of [join(rootfs, program), ...needed]) {
    const target = join(content, path.slice(rootfs.length));
    await mkdir(dirname(target), { recursive: true });
    await execa('cp', ['-L', path, target]);
  }
  // A program names its loader by /lib or /lib64, which a merged Debian has as links.
  for (const name of ['bin', 'lib', 'lib64']) {
    const isThere = await stat(join(content, 'usr', name)).then(
      () => true,
      () => false,
    );
    if (isThere) await execa('ln', ['-sfn', `usr/${name}`, join(content, name)]);
  }
}

/** As container images name it. */
function architecture(): string {
  return { x64: 'amd64', ia32: '386' }[process.arch as string] ?? process.arch;
}

async function digestOf(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

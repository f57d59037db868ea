/**
 * Owns where zstd comes from: the program `zstd` on the search path, which works beside this process and is the faster for it;
 * else the running Node's own, from 22.15 on. Both write and read the same format, with a checksum of the content.
 */
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Transform } from 'node:stream';
import * as zlib from 'node:zlib';
import { KeyturnError } from '../../domain/error.ts';
import { programFilter, transformFilter, type Filter } from './filter.ts';

export interface Zstd {
  /** In words: where it comes from. */
  readonly name: string;
  compress(): Filter;
  decompress(): Filter;
}

/** Higher levels cost half as much again, or more, for a tenth of a percent (decision 23). */
const LEVEL = 1;

/** Undefined when neither this Node nor this machine has one. */
export function findZstd(path: string = process.env['PATH'] ?? '', node: object = zlib): Zstd | undefined {
  return zstdProgram(path) ?? zstdOfNode(node);
}

/** Node 20's types don't know them. */
interface ZstdOfNode {
  readonly createZstdCompress: (options: object) => Transform & { readonly bytesWritten: number };
  readonly createZstdDecompress: (options: object) => Transform & { readonly bytesWritten: number };
  readonly constants: Readonly<Record<string, number>>;
}

function zstdOfNode(node: object): Zstd | undefined {
  if (!('createZstdCompress' in node)) return undefined;
  const { createZstdCompress, createZstdDecompress, constants: names } = node as ZstdOfNode;
  const settings = { [names['ZSTD_c_compressionLevel'] ?? 0]: LEVEL, [names['ZSTD_c_checksumFlag'] ?? 0]: 1 };
  return {
    name: `the zstd of Node ${process.versions.node}`,
    compress: () => transformFilter(createZstdCompress({ params: settings, chunkSize: 128 * 1024 }), notCompressed),
    decompress: () => transformFilter(createZstdDecompress({ chunkSize: 128 * 1024 }), notReadable),
  };
}

function zstdProgram(path: string): Zstd | undefined {
  const file = path
    .split(delimiter)
    .filter((dir) => dir !== '')
    .map((dir) => join(dir, 'zstd'))
    .find(isProgram);
  if (file === undefined) return undefined;
  return {
    name: `the program ${file}`,
    compress: () => programFilter([file, '-q', `-${LEVEL}`, '-c'], notCompressed),
    decompress: () => programFilter([file, '-q', '-d', '-c'], notReadable),
  };
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/** What is told where there is no zstd at all. */
export function noZstd(): KeyturnError {
  return new KeyturnError('compression.failed', 'There is no zstd on the machine that runs Keyturn.', {
    hint: 'Install the program zstd there, or run Keyturn with Node 22.15 or newer, which has it built in.',
  });
}

function notCompressed(why: string, cause?: unknown): KeyturnError {
  return new KeyturnError('compression.failed', `The snapshot could not be compressed: ${why}.`, {
    hint: 'See that zstd works on the machine that runs Keyturn and has memory left: "keyturn check" tries it.',
    cause,
  });
}

/** A program that can't be started says nothing of the bytes. */
function notReadable(why: string, cause?: unknown): KeyturnError {
  if (cause instanceof Error && 'syscall' in cause && String(cause.syscall).startsWith('spawn')) {
    return new KeyturnError('compression.failed', `The snapshot could not be unpacked: ${why}.`, {
      hint: 'See that zstd works on the machine that runs Keyturn: "keyturn check" tries it.',
      cause,
    });
  }
  return new KeyturnError('snapshot.damaged', `The compressed bytes are not what was written: ${why}.`, {
    hint: 'Use another copy or another snapshot.',
    cause,
  });
}

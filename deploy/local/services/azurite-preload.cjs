/**
 * Owns what Azurite lacks of a real service, loaded before it: what it has acknowledged outlives a kill (by itself it writes
 * its databases every five seconds), and it can have a quota, `KEYTURN_QUOTA` bytes (a full disk makes it fall silent).
 */
const http = require('node:http');
const { dirname } = require('node:path');
const process = require('node:process');

const Loki = require(require.resolve('lokijs', { paths: [dirname(process.argv[1])] }));
const quota = Number(process.env.KEYTURN_QUOTA ?? Infinity);
const databases = new Set();

Loki.prototype.autosaveEnable = function () {
  databases.add(this);
};

function save(database) {
  if (!database.autosaveDirty()) return Promise.resolve();
  return new Promise((resolve, reject) => {
    database.saveDatabase((error) => (error ? reject(error) : resolve()));
  });
}

/** Bytes of committed blobs and uncommitted blocks. */
function held() {
  let bytes = 0;
  for (const database of databases) {
    for (const { properties } of database.getCollection('$BLOBS_COLLECTION$')?.data ?? [])
      bytes += properties.contentLength ?? 0;
    for (const { size } of database.getCollection('$BLOCKS_COLLECTION$')?.data ?? []) bytes += size;
  }
  return bytes;
}

const end = http.ServerResponse.prototype.end;
http.ServerResponse.prototype.end = function (...args) {
  if (['GET', 'HEAD', 'OPTIONS'].includes(this.req.method)) return end.apply(this, args);
  Promise.all([...databases].map(save)).then(
    () => end.apply(this, args),
    (error) => {
      process.stderr.write(`could not be saved: ${error}\n`);
      this.destroy();
    },
  );
  return this;
};

const emit = http.Server.prototype.emit;
http.Server.prototype.emit = function (event, request, response) {
  const isTooMuch =
    event === 'request' && request.method === 'PUT' && held() + Number(request.headers['content-length'] ?? 0) > quota;
  // A commit has a small body, and holds nothing new.
  if (!isTooMuch || request.url.includes('comp=blocklist')) return emit.apply(this, arguments);
  request.resume().once('end', () => response.writeHead(507).end());
  return true;
};

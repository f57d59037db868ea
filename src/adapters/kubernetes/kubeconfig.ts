/** Owns who Keyturn may be to a kube-apiserver: what the node's own kubeconfigs of an administrator say. */
import { script } from '../../domain/restore/shell.ts';

/** kubeadm's; the second one's rights do not depend on anything that is stored in etcd. */
const ADMIN_FILES = ['/etc/kubernetes/admin.conf', '/etc/kubernetes/super-admin.conf'] as const;

/**
 * Prints `bind <address>` of the running kube-apiserver where it is told one, and each kubeconfig that is there as
 * `config <its bytes in base64>`.
 */
export const LOOK_FOR_ADMIN = script(
  'set +eu',
  `for pid in $(pids_of kube-apiserver); do
  words=$(tr '\\0' '\\n' < "/proc/$pid/cmdline")
  printf '%s\\n' "$words" | sed -n -e 's/^--*bind-address=/bind /p' -e '/^--*bind-address$/{n;s/^/bind /p;}' | tail -n 1
done 2>/dev/null
for file in ${ADMIN_FILES.join(' ')}; do
  [ -f "$file" ] || continue
  printf 'config '
  head -c 1000000 "$file" | base64 | tr -d '\\n'
  echo
done
exit 0`,
);

/** Who asks: a certificate or a token, and the CA by which the server is known. */
export interface Identity {
  /** PEM. */
  readonly ca: Buffer;
  /** The server's host by the kubeconfig: a name that its certificate surely has. */
  readonly host: string | undefined;
  /** PEM. */
  readonly client: { readonly cert: Buffer; readonly key: Buffer } | undefined;
  readonly token: string | undefined;
}

export interface AdminLook {
  /** `--bind-address`, unless that is every address. */
  readonly bindAddress: string | undefined;
  readonly identities: readonly Identity[];
}

/** Of what `LOOK_FOR_ADMIN` printed. A kubeconfig that is none, or that points to other files or programs, is left out. */
export async function parseAdminLook(stdout: Uint8Array): Promise<AdminLook> {
  const lines = Buffer.from(stdout)
    .toString('latin1')
    .split('\n')
    .map((line) => line.split(' '));
  const of = (what: string): string[] => lines.flatMap(([first, rest = '']) => (first === what ? [rest] : []));
  const bind = of('bind').at(-1);
  const configs = of('config').map((coded) => Buffer.from(coded, 'base64').toString());
  const identities = await Promise.all(configs.map(identityOf));
  return {
    bindAddress: bind === undefined || /^(0\.0\.0\.0|::)?$/.test(bind) ? undefined : bind,
    identities: identities.filter((identity) => identity !== undefined),
  };
}

async function identityOf(text: string): Promise<Identity | undefined> {
  // 75 MB and most of a second: only where there is a kubeconfig to be read.
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  try {
    config.loadFromString(text);
  } catch {
    return undefined;
  }
  const cluster = config.getCurrentCluster();
  const user = config.getCurrentUser();
  if (cluster?.caData === undefined || user === null) return undefined;
  const pem = (data: string): Buffer => Buffer.from(data, 'base64');
  const client =
    user.certData === undefined || user.keyData === undefined
      ? undefined
      : { cert: pem(user.certData), key: pem(user.keyData) };
  if (client === undefined && user.token === undefined) return undefined;
  return { ca: pem(cluster.caData), host: hostOf(cluster.server), client, token: user.token };
}

function hostOf(url: string): string | undefined {
  return URL.canParse(url) ? new URL(url).hostname.replace(/^\[|\]$/g, '') : undefined;
}

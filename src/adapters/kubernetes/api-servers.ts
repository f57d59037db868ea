/** Owns the look at a kube-apiserver on its own node: whether it is ready, and what it says of nodes and its own pods. */
import { KeyturnError } from '../../domain/error.ts';
import type { ApiServerLook, ApiServers, NodeConnection } from '../../ports.ts';
import { LOOK_FOR_ADMIN, parseAdminLook, type AdminLook, type Identity } from './kubeconfig.ts';
import { countNodes, countPods, type Count, type Page } from './readiness.ts';
import { get, type Answer } from './request.ts';

const ASK_MS = 15_000;
const ANSWER_MS = 10_000;
/** Objects a page, and pages at most: a list that is longer is not counted. */
const PAGE = 100;
const PAGES = 50;

export function apiServers(): ApiServers {
  return {
    async look(connection, { port, ask, signal }) {
      const { code, stdout, stderr } = await ask(LOOK_FOR_ADMIN, { timeoutMs: ASK_MS, signal });
      if (code !== 0) throw notAsked(connection, stderr);
      const server = serverOn(connection, port, await parseAdminLook(stdout), signal);
      const answer = await server.get('/readyz', [...server.identities, undefined]);
      const { ready, isOk, detail } = judge(answer);
      if (!isOk) return { ready, detail, nodes: undefined, systemPods: undefined };
      const [nodes, systemPods] = await Promise.all([
        server.count('/api/v1/nodes', countNodes),
        server.count('/api/v1/namespaces/kube-system/pods', countPods),
      ]);
      const problems = [nodes, systemPods].flatMap((each) => (typeof each === 'string' ? [each] : []));
      return {
        ready,
        detail: [detail, ...new Set(problems)].join(' '),
        nodes: typeof nodes === 'string' ? undefined : nodes,
        systemPods: typeof systemPods === 'string' ? undefined : systemPods,
      };
    },
  };
}

/** A text says why there is no answer. */
type Said = Answer | string;

interface Server {
  readonly identities: readonly Identity[];
  /** As each of these in turn, until one is not refused. Undefined is nobody. */
  get(path: string, as: readonly (Identity | undefined)[]): Promise<Said>;
  /** Undefined where nobody may ask; a text says why nothing was counted. */
  count(path: string, by: (items: readonly unknown[]) => Count): Promise<Count | string | undefined>;
}

function serverOn(connection: NodeConnection, port: number, admin: AdminLook, signal: AbortSignal): Server {
  const { identities, bindAddress: host = '127.0.0.1' } = admin;
  const names = [host, '127.0.0.1', 'localhost', connection.node.address, 'kubernetes'];

  const getAs = async (path: string, as: Identity | undefined): Promise<Said> => {
    const timeout = AbortSignal.timeout(ANSWER_MS);
    const ends = AbortSignal.any([signal, timeout]);
    // Nobody still knows the server by the administrator's CA.
    const question = { path, names, identity: as ?? identities[0], anonymous: as === undefined };
    try {
      return await get(await connection.tunnel(host, port, ends), question, ends);
    } catch (error) {
      signal.throwIfAborted();
      // Nothing listens there. Anything else that SSH says is no answer of the server's.
      if (error instanceof KeyturnError && error.code === 'ssh.unreachable') return `Nothing answers on port ${port}.`;
      if (error instanceof KeyturnError) throw error;
      if (timeout.aborted) return `It did not answer ${path} within ${ANSWER_MS / 1000} s.`;
      return `It could not be asked: ${(error as Error).message}.`;
    }
  };

  const getAsAny: Server['get'] = async (path, [first, ...others]) => {
    const said = await getAs(path, first);
    return others.length > 0 && isRefusal(said) ? getAsAny(path, others) : said;
  };

  return {
    identities,
    get: getAsAny,
    async count(path, by) {
      if (identities.length === 0) return undefined;
      const items: unknown[] = [];
      let next = '';
      for (let page = 0; page < PAGES; page += 1) {
        const more = next === '' ? '' : `&continue=${encodeURIComponent(next)}`;
        const said = await getAsAny(`${path}?limit=${PAGE}${more}`, identities);
        if (isRefusal(said)) return undefined;
        const list = typeof said === 'string' ? said : pageOf(said, path);
        if (typeof list === 'string') return list;
        items.push(...(list.items ?? []));
        next = list.metadata?.continue ?? '';
        if (next === '') return by(items);
      }
      return `${path} has more than ${PAGE * PAGES} objects.`;
    },
  };
}

function isRefusal(said: Said): boolean {
  return typeof said !== 'string' && (said.status === 401 || said.status === 403);
}

function pageOf({ status, body }: Answer, path: string): Page | string {
  if (status !== 200) return `${path} was answered with HTTP status ${status}.`;
  try {
    return JSON.parse(body.toString()) as Page;
  } catch {
    return `${path} was not answered with JSON.`;
  }
}

function judge(said: Said): Pick<ApiServerLook, 'ready' | 'detail'> & { readonly isOk: boolean } {
  if (typeof said === 'string') return { ready: false, isOk: false, detail: said };
  if (isRefusal(said)) {
    const detail = `It answers; whether it is ready nobody may ask it without rights (HTTP status ${said.status}).`;
    return { ready: true, isOk: false, detail };
  }
  const text = said.body.toString('utf8', 0, 10_000);
  if (said.status === 200) return { ready: true, isOk: true, detail: '/readyz says ok.' };
  // One line a check; those that fail begin with a minus.
  const failing = text.split('\n').filter((line) => line.startsWith('[-]'));
  const why = (failing.length > 0 ? failing.join(', ') : (text.split('\n')[0] ?? '')).slice(0, 300);
  return { ready: false, isOk: false, detail: `/readyz says ${said.status}: ${why}` };
}

function notAsked({ node }: NodeConnection, stderr: string): KeyturnError {
  const why = stderr.trim().split('\n').at(-1) ?? '';
  return new KeyturnError('node.command-failed', `kube-apiserver on ${node.name} could not be looked for: ${why}.`, {
    hint: `See that ${node.name} has coreutils, grep and sed.`,
  });
}

/** Owns what counts as a ready node and a ready pod, in the words of the Kubernetes API (v1 NodeList, PodList). */

/** How many are ready, of how many. */
export interface Count {
  readonly ready: number;
  readonly total: number;
}

interface Condition {
  readonly type?: string;
  readonly status?: string;
}

/** One page of a list; all of it may be missing. */
export interface Page {
  readonly metadata?: { readonly continue?: string };
  readonly items?: readonly unknown[];
}

export function countNodes(items: readonly unknown[]): Count {
  const ready = items.filter((item) => {
    const { status } = item as { status?: { conditions?: readonly Condition[] } };
    return status?.conditions?.some((each) => each.type === 'Ready' && each.status === 'True') === true;
  });
  return { ready: ready.length, total: items.length };
}

/** Pods that have done their work are none of those that should run. */
export function countPods(items: readonly unknown[]): Count {
  const pods = items as readonly {
    readonly spec?: { readonly containers?: readonly unknown[] };
    readonly status?: { readonly phase?: string; readonly containerStatuses?: readonly { readonly ready?: boolean }[] };
  }[];
  const wanted = pods.filter(({ status }) => !['Succeeded', 'Failed'].includes(status?.phase ?? ''));
  const ready = wanted.filter(({ spec, status }) => {
    const running = status?.containerStatuses ?? [];
    const all = Math.max(spec?.containers?.length ?? 0, 1);
    return status?.phase === 'Running' && running.length >= all && running.every((each) => each.ready === true);
  });
  return { ready: ready.length, total: wanted.length };
}

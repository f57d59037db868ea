/** Owns what is told of the components of Kubernetes on a node: what keeps them running, and how containers are seen. */
import type { Supervisor } from '../../domain/cluster.ts';
import { KeyturnError } from '../../domain/error.ts';
import { etcdFlags, supervisorOf, unitOf } from '../../domain/etcd-commands.ts';
import type { ApiServerFacts, ContainerRuntime, KubeletFacts } from '../../domain/restore/facts.ts';
import type { RestorePolicy } from '../../domain/restore-policy.ts';
import { podsOf, type StaticPod } from './static-pods.ts';
import type { Component, Process, Survey } from './survey.ts';
import { isMeantToRun, startedBy } from './units.ts';

interface Found {
  readonly supervisor: Supervisor;
  readonly argv: readonly string[];
}

/** A component that runs, or would run: by its manifest, or by a unit of its name. */
export function componentOf(node: string, survey: Survey, name: Component): Found | undefined {
  const [process] = survey.processes[name];
  if (process !== undefined) {
    return { supervisor: runningSupervisor(node, survey, name, process.cgroup), argv: process.argv };
  }
  const pod = onlyPod(node, survey, name);
  const { shown, files } = survey.units[name];
  const unit = `${name}.service`;
  if (pod !== undefined && isMeantToRun(shown)) {
    throw unsupported(
      `${name} on ${node} is stopped, and both ${pod.manifest} and ${unit} would start it.`,
      `Disable ${unit}, or take the manifest out of its folder.`,
    );
  }
  if (pod !== undefined) return { supervisor: { kind: 'static-pod', manifest: pod.manifest }, argv: pod.argv };
  if (!isMeantToRun(shown)) return undefined;
  return { supervisor: { kind: 'systemd', unit }, argv: startedBy(shown, files).argv };
}

/** A process in no service is a pod's where a manifest would start one like it: its cgroup looks different everywhere. */
export function runningSupervisor(node: string, survey: Survey, name: string, cgroup: string): Supervisor {
  const byGroup = supervisorOf(cgroup, '');
  return byGroup.kind === 'systemd' ? byGroup : podOr(onlyPod(node, survey, name));
}

export function onlyPod(node: string, { manifests }: Survey, name: string): StaticPod | undefined {
  const [pod, other] = podsOf(manifests, name);
  if (other === undefined) return pod;
  throw unsupported(
    `${pod?.manifest ?? ''} and ${other.manifest} on ${node} both start ${name}.`,
    `Take the one that is not meant out of that folder: the kubelet takes every file in it, whatever its name.`,
  );
}

export function apiServerOf(node: string, survey: Survey): ApiServerFacts | undefined {
  const found = componentOf(node, survey, 'kube-apiserver');
  if (found === undefined) return undefined;
  const port = etcdFlags(found.argv, []).get('secure-port') ?? '';
  return { supervisor: found.supervisor, port: /^\d+$/.test(port) ? Number(port) : 6443 };
}

export function kubeletOf(
  node: string,
  survey: Survey,
  policy: Pick<RestorePolicy, 'kubelet' | 'manifests'>,
): KubeletFacts | undefined {
  const [process] = survey.processes.kubelet;
  const unit = process === undefined ? unitThatStarts(survey) : unitOf(process.cgroup);
  if (unit !== undefined) return { unit, stop: policy.kubelet, manifests: policy.manifests };
  if (process === undefined) return undefined;
  throw unsupported(
    `The kubelet on ${node} runs in no systemd unit: it could not be stopped and started.`,
    'Run the kubelet under systemd, or restore by hand.',
  );
}

function unitThatStarts({ units }: Survey): string | undefined {
  return isMeantToRun(units.kubelet.shown) ? 'kubelet.service' : undefined;
}

/** One that does not see the containers that do run would prove nothing when they are stopped. */
export function runtimeOf({ runtimes, processes, etcd }: Survey): ContainerRuntime | undefined {
  const others = Object.values(processes).flatMap((all: readonly Process[]) => all.map(({ cgroup }) => cgroup));
  const inContainers = [...others, etcd?.cgroup ?? ''].filter((cgroup) => /[0-9a-f]{64}/.test(cgroup));
  const sees = ({ containers }: Survey['runtimes'][number]): boolean =>
    inContainers.length === 0 || containers.some((id) => inContainers.some((cgroup) => cgroup.includes(id)));
  const fit = runtimes.filter(sees);
  const best = fit.find(({ containers }) => containers.length > 0) ?? fit[0];
  return best === undefined ? undefined : { cli: best.cli, path: best.path };
}

export function unsupported(message: string, hint: string): KeyturnError {
  return new KeyturnError('plan.unsupported', message, { hint });
}

export function podOr(pod: StaticPod | undefined): Supervisor {
  return pod === undefined ? { kind: 'unknown' } : { kind: 'static-pod', manifest: pod.manifest };
}

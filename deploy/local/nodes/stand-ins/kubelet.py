#!/usr/bin/python3
"""Owns a stand-in for the kubelet: it runs static pods as plain processes, each in a cgroup of the shape that a pod's has.

Of a manifest it knows the first container: command, args, env, runAsUser, and the pod's grace period. What it holds to is
in test/contracts/kubelet.ts. All that it must remember over its own end is in the cgroups' names: a pod's id is made of
its manifest, so a kubelet that starts knows by them which processes are its own.

    kubelet --config=/var/lib/kubelet/config.yaml
"""

import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time

import yaml

TICK_SECONDS = 0.2
# As the real one's: the first restart at once, then so long after the end, twice as long each time.
FIRST_BACK_OFF_SECONDS = 10
LONGEST_BACK_OFF_SECONDS = 300
DEFAULT_GRACE_SECONDS = 30
DEFAULT_MANIFESTS = "/etc/kubernetes/manifests"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LOGS = "/var/log/containers"
# The container's name, by its id: what a cgroup can't hold.
NAMES = "/run/kubelet/containers"

CGROUP = "/sys/fs/cgroup"
# One tree on cgroup version 2; on version 1 those that systemd keeps.
TREES = [CGROUP] if os.path.exists(f"{CGROUP}/cgroup.procs") else [f"{CGROUP}/systemd", f"{CGROUP}/unified"]
PODS = "kubepods/burstable"


def log(line):
    print(line, file=sys.stderr, flush=True)


class Pod:
    """What a manifest wants. Raises ValueError where it says nothing that could be run."""

    def __init__(self, path, text):
        manifest = yaml.safe_load(text)
        try:
            spec = manifest["spec"]
            container = spec["containers"][0]
            self.name = manifest["metadata"]["name"]
            self.container = container["name"]
            self.argv = [str(word) for word in [*container.get("command", []), *container.get("args", [])]]
            self.env = {each["name"]: str(each.get("value", "")) for each in container.get("env") or []}
            security = {**(spec.get("securityContext") or {}), **(container.get("securityContext") or {})}
            self.user = security.get("runAsUser")
            self.group = security.get("runAsGroup", self.user)
            self.grace = spec.get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS)
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise ValueError(f"no pod: {error!r}") from error
        if not self.argv:
            raise ValueError("no command")
        self.uid = hashlib.md5(json.dumps([os.uname().nodename, path, manifest], default=str).encode()).hexdigest()


class Container:
    """One process and those that it starts: all that is in a cgroup, whichever kubelet put it there."""

    def __init__(self, uid, container_id):
        self.uid = uid
        self.id = container_id
        self.cgroup = f"{PODS}/pod{uid}/{container_id}"
        # The others are its children.
        self.main = min(self.pids(), key=born, default=None)
        self.kill_at = None

    def pids(self):
        try:
            with open(f"{TREES[0]}/{self.cgroup}/cgroup.procs") as file:
                found = [int(line) for line in file]
        except OSError:
            return []
        return [pid for pid in found if is_alive(pid)]

    def name(self):
        try:
            with open(f"{NAMES}/{self.id}") as file:
                return file.read().strip()
        except FileNotFoundError:
            return ""

    def has_ended(self):
        """Whether nothing is left; what the main process left behind is ended with it."""
        pids = self.pids()
        if self.main not in pids or (self.kill_at is not None and time.monotonic() >= self.kill_at):
            send(pids, signal.SIGKILL)
        return not pids

    def terminate(self, grace):
        """Asks the main process to end; `has_ended` kills all when the time is over."""
        self.kill_at = time.monotonic() + grace
        send([self.main] if self.main in self.pids() else [], signal.SIGTERM)

    def remove(self):
        for tree in TREES:
            for cgroup in [self.cgroup, os.path.dirname(self.cgroup)]:
                try:
                    os.rmdir(f"{tree}/{cgroup}")
                except OSError:
                    # Another container of the pod is in it.
                    pass
        try:
            os.unlink(f"{NAMES}/{self.id}")
        except FileNotFoundError:
            pass


def start(pod):
    container = Container(pod.uid, secrets.token_hex(32))
    for tree in TREES:
        os.makedirs(f"{tree}/{container.cgroup}")
    os.makedirs(NAMES, exist_ok=True)
    with open(f"{NAMES}/{container.id}", "w") as file:
        file.write(f"{pod.container}\n")

    def enter():
        for tree in TREES:
            with open(f"{tree}/{container.cgroup}/cgroup.procs", "w") as procs:
                procs.write(str(os.getpid()))
        if pod.user is not None:
            os.setgroups([])
            os.setgid(pod.group)
            os.setuid(pod.user)

    os.makedirs(LOGS, exist_ok=True)
    with open(f"{LOGS}/{pod.name}_{pod.container}.log", "ab") as output:
        try:
            process = subprocess.Popen(
                pod.argv,
                env={"PATH": PATH, "HOSTNAME": os.uname().nodename, **pod.env},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=enter,
            )
            container.main = process.pid
            log(f"{pod.container}: started {pod.argv[0]}")
        except OSError as error:
            log(f"{pod.container}: {error}")
    return container


def send(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


class Running:
    """A pod that is wanted: its container, and how long to wait when that ends."""

    def __init__(self, pod, container):
        self.pod = pod
        self.container = container
        self.ended_at = None
        self.back_off = 0
        self.restarted_at = None

    def tick(self):
        if self.container is not None:
            if not self.container.has_ended():
                return
            self.container.remove()
            self.container = None
            self.ended_at = time.monotonic()
            log(f"{self.pod.container}: ended by itself")
        if self._may_start():
            self.container = start(self.pod)

    def _may_start(self):
        if self.ended_at is None:
            return True
        now = time.monotonic()
        if now - self.ended_at < self.back_off:
            return False
        # One that ran for long is forgiven.
        long_ago = self.restarted_at is None or self.ended_at - self.restarted_at > 2 * LONGEST_BACK_OFF_SECONDS
        doubled = FIRST_BACK_OFF_SECONDS if long_ago else min(2 * self.back_off, LONGEST_BACK_OFF_SECONDS)
        self.back_off = doubled
        self.restarted_at = now
        return True


class Kubelet:
    def __init__(self, folder):
        self.folder = folder
        self.seen = None
        self.wanted = {}
        # By pod id.
        self.running = {}
        # Containers that no manifest wants any more.
        self.ending = []

    def tick(self):
        reap()
        self._read()
        for uid in [uid for uid in self.running if uid not in self.wanted]:
            gone = self.running.pop(uid)
            if gone.container is not None:
                self._end(gone.container, gone.pod.grace)
        for container in list(self.ending):
            if container.has_ended():
                log(f"{container.name()}: stopped")
                container.remove()
                self.ending.remove(container)
        busy = {container.name() for container in self.ending}
        for uid, pod in self.wanted.items():
            # One that has changed waits until the old one is gone.
            if uid not in self.running and pod.container not in busy:
                self.running[uid] = Running(pod, None)
        for running in self.running.values():
            running.tick()

    def take_over(self):
        """What an earlier kubelet started goes on, if a manifest wants it."""
        self._read()
        for container in containers():
            pod = self.wanted.get(container.uid)
            if pod is None or container.uid in self.running:
                self._end(container, DEFAULT_GRACE_SECONDS)
            else:
                self.running[pod.uid] = Running(pod, container)

    def _end(self, container, grace):
        container.terminate(grace)
        self.ending.append(container)

    def _read(self):
        """Reads the manifests when a file has come, gone or changed."""
        found = {}
        try:
            for entry in os.scandir(self.folder):
                if not entry.name.startswith(".") and entry.is_file():
                    about = entry.stat()
                    found[entry.path] = (about.st_ino, about.st_size, about.st_mtime_ns)
        except FileNotFoundError:
            pass
        if found == self.seen:
            return
        self.seen = found
        self.wanted = {}
        for path in sorted(found):
            try:
                with open(path) as file:
                    pod = Pod(path, file.read())
                self.wanted[pod.uid] = pod
            except FileNotFoundError:
                self.seen = None
            except (ValueError, yaml.YAMLError) as error:
                log(f"{path} is left out: {error}")


def containers():
    """Those that are there, by their cgroups."""
    top = f"{TREES[0]}/{PODS}"
    for pod in folders(top):
        for container in folders(f"{top}/{pod}"):
            yield Container(pod.removeprefix("pod"), container)


def folders(path):
    try:
        return [entry.name for entry in os.scandir(path) if entry.is_dir()]
    except FileNotFoundError:
        return []


def stat_of(pid):
    with open(f"/proc/{pid}/stat") as file:
        # The program's name, in parentheses, may hold anything.
        return file.read().rpartition(")")[2].split()


def is_alive(pid):
    try:
        return stat_of(pid)[0] not in "ZX"
    except OSError:
        return False


def born(pid):
    try:
        return int(stat_of(pid)[19]), pid
    except OSError:
        return sys.maxsize, pid


def reap():
    """Buries children; those of an earlier kubelet are systemd's."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
    except ChildProcessError:
        pass


def static_pod_path(args):
    config = next((arg.partition("=")[2] for arg in args if arg.startswith("--config=")), None)
    if config is None:
        return DEFAULT_MANIFESTS
    with open(config) as file:
        return yaml.safe_load(file).get("staticPodPath", DEFAULT_MANIFESTS)


def main():
    kubelet = Kubelet(static_pod_path(sys.argv[1:]))
    kubelet.take_over()
    while True:
        kubelet.tick()
        time.sleep(TICK_SECONDS)


if __name__ == "__main__":
    main()

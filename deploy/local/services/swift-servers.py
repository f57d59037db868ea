"""Owns the processes of the local S3 server: OpenStack Swift's proxy and its three storage servers, forked from one.

Runs as the first process of its own process namespace, with Swift's root file system as its root: when it ends, all
end. Reads /etc/swift/keyturn.json: {"ip", "host", "port", "accessKey", "secretKey", "bucket", "quota"?}.
Prints "READY" when the bucket is there.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request

from swift.common.ring.builder import RingBuilder

SERVERS = {"account": 6202, "container": 6201, "object": 6200}


def build_rings(ip):
    """One device, one replica; the same on every start, so that data of an earlier start is found again."""
    for name, port in SERVERS.items():
        builder = RingBuilder(1, 1, 0)
        builder.add_dev({"id": 0, "region": 1, "zone": 1, "ip": ip, "port": port, "device": "d1", "weight": 1})
        builder.rebalance(seed="keyturn")
        builder.get_ring().save("/etc/swift/%s.ring.gz" % name)


def fork_server(name):
    """Swift's own program, in a child that has its modules already."""
    pid = os.fork()
    if pid:
        return pid
    sys.argv = ["swift-%s-server" % name, "/etc/swift/%s-server.conf" % name, "-v"]
    try:
        if name == "proxy":
            from swift.proxy.server import main
        elif name == "object":
            from swift.obj.server import main
        elif name == "container":
            from swift.container.server import main
        else:
            from swift.account.server import main
        os._exit(main() or 0)
    except BaseException as error:
        print("%s: %r" % (name, error), file=sys.stderr, flush=True)
        os._exit(1)


def fork_memcached(ip):
    pid = os.fork()
    if pid == 0:
        os.execv("/usr/bin/memcached", ["memcached", "-u", "root", "-l", ip, "-p", "11211", "-m", "16", "-t", "1"])
    return pid


def ask(request):
    return urllib.request.urlopen(request, timeout=5)


def make_bucket(config):
    """
    Through Swift's native interface: it takes a token instead of a signature. The parts of multipart uploads lie in a
    container of their own, where the quota has to hold too.
    """
    base = "http://%s:%d" % (config["host"], config["port"])
    login = {"X-Auth-User": config["accessKey"], "X-Auth-Key": config["secretKey"]}
    answer = ask(urllib.request.Request(base + "/auth/v1.0", headers=login))
    account = "%s/v1/%s" % (base, answer.headers["X-Storage-Url"].rsplit("/", 1)[1])
    headers = {"X-Auth-Token": answer.headers["X-Auth-Token"]}
    headers["X-Container-Meta-Quota-Bytes"] = str(config.get("quota", ""))
    for container in (config["bucket"], config["bucket"] + "+segments"):
        ask(urllib.request.Request("%s/%s" % (account, container), method="PUT", headers=headers))


def announce(config):
    """In a child, because the first process must not open sockets of its own: it only waits."""
    if os.fork():
        return
    for _ in range(300):
        try:
            make_bucket(config)
            print("READY", flush=True)
            os._exit(0)
        except (OSError, urllib.error.URLError) as error:
            last = error
            time.sleep(0.1)
    print("the bucket could not be made: %r" % last, file=sys.stderr, flush=True)
    os._exit(1)


def main():
    with open("/etc/swift/keyturn.json") as file:
        config = json.load(file)
    build_rings(config["ip"])
    servers = {fork_memcached(config["ip"]): "memcached"}
    for name in [*SERVERS, "proxy"]:
        servers[fork_server(name)] = name
    announce(config)
    while True:
        pid, status = os.wait()
        if pid in servers:
            print("%s ended: %d" % (servers[pid], status), file=sys.stderr, flush=True)
            os._exit(1)


main()

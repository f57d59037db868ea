"""Owns the processes of the local Ceph: one monitor, one disk daemon on a file, and the RADOS Gateway that speaks S3.

Runs as the first process of its own process namespace, with Ceph's root file system as its root: when it ends, all end.
`serve` makes the cluster on an empty /var/lib/ceph, starts it, and prints "READY" when S3 is served.
`bucket JSON`, beside it, makes one bucket: {"name", "objectLock"?, "retentionDays"?, "versioning"?, "quota"?}.
Reads /etc/ceph/keyturn.json: {"ip", "host", "port", "accessKey", "secretKey"}.
"""

import datetime
import glob
import hashlib
import hmac
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid

DATA = "/var/lib/ceph"
MON, OSD = DATA + "/mon", DATA + "/osd"
MADE = DATA + "/made"


def call(*argv):
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout


def start(*argv):
    return subprocess.Popen(argv)


def until(what, seconds, is_so):
    for _ in range(seconds * 20):
        if is_so():
            return
        time.sleep(0.05)
    raise SystemExit("%s did not come about within %d s" % (what, seconds))


def make_monitor(config):
    os.makedirs(MON)
    keyring = DATA + "/keyring"
    call("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
    everything = [part for cap in ("mon", "osd", "mgr") for part in ("--cap", cap, "allow *")]
    call("ceph-authtool", keyring, "--gen-key", "-n", "client.admin", *everything)
    with open("/etc/ceph/ceph.conf") as text:
        fsid = [line.split()[-1] for line in text if line.startswith("fsid")][0]
    call("monmaptool", "--create", "--clobber", "--fsid", fsid, "--addv", "a", "[v2:%s:3300]" % config["ip"], DATA + "/monmap")
    call("ceph-mon", "--mkfs", "-i", "a", "--monmap", DATA + "/monmap", "--keyring", keyring)


def make_disk():
    os.makedirs(OSD)
    disk = str(uuid.uuid4())
    call("ceph", "osd", "new", disk)
    key = call("ceph", "auth", "get-or-create-key", "osd.0", "mon", "allow profile osd", "mgr", "allow profile osd", "osd", "allow *")
    call("ceph-authtool", "--create-keyring", OSD + "/keyring", "-n", "osd.0", "--add-key", key.strip())
    call("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", disk)


def make_user(config):
    keys = ["--access-key", config["accessKey"], "--secret-key", config["secretKey"]]
    call("radosgw-admin", "user", "create", "--uid", "keyturn", "--display-name", "keyturn", *keys)


def serve(config):
    os.makedirs("/var/run/ceph", exist_ok=True)
    fresh = not os.path.exists(MADE)
    if fresh:
        make_monitor(config)
    start("ceph-mon", "-f", "-i", "a")
    if fresh:
        make_disk()
    start("ceph-osd", "-f", "-i", "0", "--osd-class-dir", glob.glob("/usr/lib/*/rados-classes")[0])
    # Whoever asks before the disk has told where it is now asks where it was, and waits long before asking again.
    until("the disk", 60, disk_is_active)
    if fresh:
        make_user(config)
        open(MADE, "w").close()
    start("radosgw", "-f", "-n", "client.admin")
    until("S3", 60, lambda: answers(config))
    print("READY", flush=True)
    while True:
        os.wait()


def disk_is_active():
    with socket.socket(socket.AF_UNIX) as asking:
        try:
            asking.connect("/var/run/ceph/ceph-osd.0.asok")
            asking.sendall(b'{"prefix": "status"}\0')
            answer = asking.makefile("rb").read()
        except OSError:
            return False
    return b'"state": "active"' in answer


def answers(config):
    try:
        urllib.request.urlopen(base(config), timeout=1)
    except urllib.error.HTTPError:
        pass
    except OSError:
        return False
    return True


def base(config):
    return "http://%s:%d" % (config["host"], config["port"])


def make_bucket(config, bucket):
    lock = {"x-amz-bucket-object-lock-enabled": "true"} if bucket.get("objectLock") else {}
    put(config, "/" + bucket["name"], "", b"", lock)
    if bucket.get("versioning"):
        status = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
        put(config, "/" + bucket["name"], "versioning=", status, {})
    if bucket.get("retentionDays"):
        rule = "<Mode>GOVERNANCE</Mode><Days>%d</Days>" % bucket["retentionDays"]
        rule = "<Rule><DefaultRetention>%s</DefaultRetention></Rule>" % rule
        enabled = "<ObjectLockEnabled>Enabled</ObjectLockEnabled>"
        lock = "<ObjectLockConfiguration>%s%s</ObjectLockConfiguration>" % (enabled, rule)
        put(config, "/" + bucket["name"], "object-lock=", lock.encode(), {})
    if bucket.get("quota"):
        of = ["--quota-scope", "bucket", "--bucket", bucket["name"]]
        call("radosgw-admin", "quota", "set", "--max-size", str(bucket["quota"]), *of)
        call("radosgw-admin", "quota", "enable", *of)


def put(config, path, query, body, more):
    """Signed as AWS documents it (Signature Version 4)."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    headers = {"host": "%s:%d" % (config["host"], config["port"]), "x-amz-date": now, "x-amz-content-sha256": digest, **more}
    names = ";".join(sorted(headers))
    lines = "".join("%s:%s\n" % (name, headers[name]) for name in sorted(headers))
    request = "\n".join(["PUT", path, query, lines, names, digest])
    scope = now[:8] + "/us-east-1/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = b"AWS4" + config["secretKey"].encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    authorization = "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s"
    headers["authorization"] = authorization % (config["accessKey"], scope, names, signature)
    url = base(config) + path + ("?" + query if query else "")
    urllib.request.urlopen(urllib.request.Request(url, data=body, method="PUT", headers=headers), timeout=60)


if __name__ == "__main__":
    with open("/etc/ceph/keyturn.json") as settings:
        known = json.load(settings)
    if sys.argv[1] == "serve":
        serve(known)
    else:
        make_bucket(known, json.loads(sys.argv[2]))

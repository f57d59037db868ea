#!/bin/sh
# Owns the inside of an instance: process 1 of its process namespace, whose network namespace is the hub that all
# machines hang off. Kept alive by nobody but supervise.sh.
#
#   init.sh DIR ID ROOTFS [MACHINE=ADDRESS…]
set -eu
dir=$1 rootfs=$3
shift 3

# /proc is still the host's here: this is the pid that others know us by.
read -r pid _ </proc/self/stat
mount -t proc proc /proc
# nspawn and ip keep state in /run; let them have one that ends with us.
mount -t tmpfs -o mode=755 tmpfs /run

loader=$(ls "$rootfs"/usr/lib*/ld-linux*.so.* "$rootfs"/usr/lib/*/ld-linux*.so.* 2>/dev/null | head -n 1)
libraries=$(ls -d "$rootfs"/usr/lib/*-linux-gnu* | head -n 1)
# The image's own ip: the host may have none.
in_hub() { "$loader" --library-path "$libraries" "$rootfs/usr/bin/ip" "$@"; }
in_machine() { machine=$1; shift; nsenter --net="$dir/net/$machine" "$loader" --library-path "$libraries" "$rootfs/usr/bin/ip" "$@"; }

in_hub -batch - <<END
link set lo up
link add hub type bridge
address add 10.77.0.1/24 dev hub
link set hub up
END

mkdir -p "$dir/net"
for entry in "$@"; do
  name=${entry%%=*} address=${entry#*=}
  : >"$dir/net/$name"
  unshare --net="$dir/net/$name" true
  # The other end appears here, in the namespace of process 1.
  in_machine "$name" link add eth0 type veth peer name "$name" netns 1
  in_hub link set "$name" master hub up
  in_machine "$name" -batch - <<END
link set lo up
address add $address/24 dev eth0
link set eth0 up
route add default via 10.77.0.1
END
  at="$dir/machines/$name"
  mount -t overlay overlay -o "lowerdir=$rootfs,upperdir=$at/upper,workdir=$at/work" "$at/root"
done

echo "$pid" >"$dir/init.pid.part"
mv "$dir/init.pid.part" "$dir/init.pid"
# Process 1 also buries orphans: the shell does, whenever its own child ends.
while :; do sleep 60; done

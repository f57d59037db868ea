#!/bin/sh
# Owns what a machine in a machine needs before it can run containers of its own.
#
#   prepare-containers machine      before containerd starts: what systemd-nspawn keeps from a machine
#   prepare-containers images FILE… after it has started, the first time: the images that pods run from
set -eu
what=$1
shift
case $what in
  machine)
    [ -e /dev/kmsg ] || mknod -m 600 /dev/kmsg c 1 3
    # Version 2 has one tree, which is the machine's own already.
    for tree in /proc/sys /sys/fs/cgroup /sys/fs/cgroup/*; do
      [ -L "$tree" ] || ! mountpoint -q "$tree" || mount -o remount,bind,rw "$tree"
    done
    mount --make-rshared /
    # A kubelet looks for a cloud around it, and would wait for twelve seconds until it believes that there is none.
    ip route replace unreachable 169.254.169.254
    ;;
  images)
    done=/var/lib/containerd/images-are-here
    [ ! -e $done ] || exit 0
    for file in "$@"; do ctr -n k8s.io images import "$file"; done
    : >$done
    ;;
esac

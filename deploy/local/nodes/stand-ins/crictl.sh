#!/bin/sh
# Owns a stand-in for crictl: the containers that the kubelet's stand-in runs, by id.
#
#   crictl ps -q [--name REGEX]
#   crictl stop --timeout SECONDS ID
set -eu
names=/run/kubelet/containers
tree=/sys/fs/cgroup
[ -e "$tree/cgroup.procs" ] || tree=$tree/systemd

# Pids of a container, its first process first.
pids() { sort -n "$tree"/kubepods/burstable/pod*/"$1"/cgroup.procs 2>/dev/null; }

case "$*" in
  'ps -q' | 'ps -q --name '*)
    regex=${4:-.}
    for file in "$names"/*; do
      id=${file##*/}
      [ -z "$(pids "$id")" ] || ! grep -q -E -e "$regex" "$file" || echo "$id"
    done
    ;;
  'stop --timeout '*)
    id=$4
    [ -e "$names/$id" ] || { echo "container \"$id\": not found" >&2; exit 1; }
    end=$(($(date +%s) + $3))
    kill -TERM "$(pids "$id" | sed -n 1p)" 2>/dev/null || :
    while [ -n "$(pids "$id")" ]; do
      [ "$(date +%s)" -lt "$end" ] || kill -KILL $(pids "$id") 2>/dev/null || :
      sleep 0.1
    done
    echo "$id"
    ;;
  *)
    echo "crictl: only ps -q and stop are there" >&2
    exit 1
    ;;
esac

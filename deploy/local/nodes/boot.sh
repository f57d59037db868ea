#!/bin/sh
# Owns the start of one machine: a cgroup of its own, then systemd-nspawn in place of this shell.
# Runs inside the instance's namespaces (see instance.ts); the machine's files and network are there already.
#
#   boot.sh DIR ID MACHINE HOSTNAME TREES NSPAWN…
#
# TREES is what cgroups.sh enters.
set -eu
dir=$1 id=$2 machine=$3 hostname=$4 trees=$5
shift 5
cgroup="keyturn-$id/$machine"
sh "$(dirname "$0")/cgroups.sh" remove "$cgroup"
sh "$(dirname "$0")/cgroups.sh" enter "$cgroup" "$trees"
exec "$@" --quiet --register=no --keep-unit --network-namespace-path="$dir/net/$machine" \
  --resolv-conf=off --timezone=off --link-journal=no -D "$dir/machines/$machine/root" -M "$machine" --hostname="$hostname" \
  --console=pipe --kill-signal=SIGRTMIN+3 --boot

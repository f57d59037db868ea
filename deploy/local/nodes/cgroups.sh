#!/bin/sh
# Owns where cgroups are, on hosts of either kind: one tree (version 2), or a tree for each controller and a unified one
# beside them (version 1, hybrid).
#
#   cgroups.sh mount              makes the host's cgroup file systems seen, where the caller's mounts hide them
#   cgroups.sh enter NAME/…       moves the calling shell ($PPID) into a cgroup of that name in every tree that systemd needs
#   cgroups.sh remove NAME        removes that cgroup and those below it, from every tree
set -eu
top=/sys/fs/cgroup

# The trees that systemd needs: one on version 2, two on version 1.
trees() {
  if [ -e $top/cgroup.procs ]; then echo $top; fi
  for tree in $top/systemd $top/unified; do
    if [ -e $tree/cgroup.procs ]; then echo $tree; fi
  done
}

mount_all() {
  if ! grep -q '^[1-9]' /proc/self/cgroup; then
    mount -t cgroup2 cgroup2 $top
    return
  fi
  mount -t tmpfs -o mode=755 tmpfs $top
  while IFS=: read -r number controllers _; do
    name=${controllers#name=}
    if [ "$number" = 0 ]; then
      mkdir -p $top/unified && mount -t cgroup2 cgroup2 $top/unified
    elif [ "$name" = "$controllers" ]; then
      mkdir -p "$top/$name" && mount -t cgroup -o "$controllers" cgroup "$top/$name"
    else
      mkdir -p "$top/$name" && mount -t cgroup -o "none,name=$name" cgroup "$top/$name"
    fi
  done </proc/self/cgroup
}

case $1 in
  mount) [ -n "$(trees)" ] || mount_all ;;
  enter)
    for tree in $(trees); do
      mkdir -p "$tree/$2"
      echo $PPID >"$tree/$2/cgroup.procs"
    done
    ;;
  remove)
    for tree in $(trees); do
      [ ! -d "$tree/$2" ] || find "$tree/$2" -depth -type d -exec rmdir {} \; 2>/dev/null || true
    done
    ;;
esac

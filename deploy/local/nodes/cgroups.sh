#!/bin/sh
# Owns where cgroups are, on hosts of either kind: one tree (version 2), or a tree for each controller and a unified one
# beside them (version 1, hybrid).
#
#   cgroups.sh mount              makes the host's cgroup file systems seen, where the caller's mounts hide them
#   cgroups.sh enter NAME/… systemd|all
#                                 moves the calling shell ($PPID) into a cgroup of that name, in the trees that systemd
#                                 needs, or in all: who runs containers makes cgroups of its own in every tree
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

# Those of version 1's controllers beside them.
controllers() {
  for tree in $top/*; do
    [ -L "$tree" ] || [ "$tree" = $top/systemd ] || [ "$tree" = $top/unified ] || [ ! -e "$tree/release_agent" ] ||
      echo "$tree"
  done
}

# A new cgroup of version 1's cpuset has neither processors nor memory, and takes no process.
make_cgroup() {
  parent=$1
  for part in $(echo "$2" | tr / ' '); do
    mkdir -p "$parent/$part"
    for file in cpuset.cpus cpuset.mems; do
      [ ! -e "$parent/$file" ] || cat "$parent/$file" >"$parent/$part/$file"
    done
    parent=$parent/$part
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
    [ "$3" = all ] || exit 0
    for tree in $(controllers); do
      make_cgroup "$tree" "$2"
      echo $PPID >"$tree/$2/cgroup.procs"
    done
    ;;
  remove)
    for tree in $(trees) $(controllers); do
      [ ! -d "$tree/$2" ] || find "$tree/$2" -depth -type d -exec rmdir {} \; 2>/dev/null || true
    done
    ;;
esac

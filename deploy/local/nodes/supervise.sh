#!/bin/sh
# Owns the life of one instance of local machines: everything in it ends when this script's standard input does.
#
#   supervise.sh DIR ID ROOTFS [MACHINE=ADDRESS…] < pipe held by the starter
#
# DIR itself is the lock: whoever has it owns the instance. Prints `locked` once DIR is ours and empty, then reads one
# line before it starts init.sh in namespaces of its own, and prints `ready PID`. When the pipe ends, however the starter
# ended, PID is killed, and with it, by the kernel, every process of the instance.
set -eu
here=$(dirname "$0")
dir=$1 id=$2

# Our own view of mounts (we are started in one); `ip netns exec` hides the cgroup file systems.
sh "$here/cgroups.sh" mount

exec 9<"$dir"
flock --wait 20 9 || { echo busy; exit 75; }
# The one before us may have removed what we locked.
[ "$(stat -Lc %i /proc/self/fd/9)" = "$(stat -c %i "$dir" 2>/dev/null)" ] || { echo gone; exit 75; }

remove_names() {
  sh "$here/cgroups.sh" remove "keyturn-$id"
  rm -f "/run/netns/keyturn-$id"
  rmdir /run/netns 2>/dev/null || true
}

remove_names
find "$dir" -mindepth 1 -delete
echo locked
read -r _ || { rm -rf "$dir"; exit 0; }

# The lock stays held (9) by all that lives in the instance; it is free only when nothing is left.
setpriv --pdeathsig KILL unshare --mount --net --pid --fork --kill-child --propagation private \
  sh "$here/init.sh" "$@" </dev/null >"$dir/init.log" 2>&1 &
unshare=$!

tries=0
until [ -s "$dir/init.pid" ]; do
  tries=$((tries + 1))
  if [ $tries -gt 200 ] || ! kill -0 $unshare 2>/dev/null; then
    echo "failed $(tail -n 3 "$dir/init.log" | tr '\n' ' ')"
    break
  fi
  sleep 0.05
done

if [ -s "$dir/init.pid" ]; then
  pid=$(cat "$dir/init.pid")
  mkdir -p /run/netns
  ln -sfn "/proc/$pid/ns/net" "/run/netns/keyturn-$id"
  echo "ready $pid"
  cat >/dev/null
  kill -9 "$pid" 2>/dev/null || true
else
  cat >/dev/null
  kill -9 $unshare 2>/dev/null || true
fi

# Ends only when every process of the instance is gone.
wait $unshare || true
remove_names
rm -rf "$dir"

/** Owns how a plan's scripts are written: POSIX sh that runs as root, every value quoted, and the words they share. */

/** One word for a POSIX shell, whatever it holds. Throws TypeError for a NUL byte, which no argument can hold. */
export function quote(value: string): string {
  if (value.includes('\0')) throw new TypeError('A value for a script holds a NUL byte.');
  return /^[A-Za-z0-9_@%+:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`;
}

export function command(argv: readonly string[]): string {
  return argv.map((word) => (/^--[a-z-]+=[A-Za-z0-9_@%+:,./=-]*$/.test(word) ? word : quote(word))).join(' ');
}

/** A whole script: stops at the first error; only those shared words are put in front that its lines use. */
export function script(...lines: readonly string[]): string {
  return `${['set -eu', ...wordsUsedBy(lines.join('\n')), ...lines].join('\n')}\n`;
}

/** Shared words by name; each may use those named in `needs`. */
interface Word {
  readonly text: string;
  readonly needs: readonly string[];
}

const WORDS: Readonly<Record<string, Word>> = {
  fail: { needs: [], text: `fail() { printf '%s\\n' "$*" >&2; exit 1; }` },

  // Half a second of a whole second's sleep is downtime.
  nap: { needs: [], text: `nap() { sleep 0.1 2>/dev/null || sleep 1; }` },

  // wait_for SECONDS WHAT COMMAND…: until COMMAND succeeds.
  wait_for: {
    needs: ['fail', 'nap'],
    text: `wait_for() {
  end=$(($(date +%s) + $1)) what=$2
  shift 2
  until "$@"; do
    [ "$(date +%s)" -lt "$end" ] || fail "Time is up: $what"
    nap
  done
}`,
  },

  // Processes named etcd; not those that name another data directory. A process that has ended has no words any more.
  etcd_pids: {
    needs: [],
    text: `etcd_pids() {
  for d in /proc/[0-9]*; do
    name=
    read -r name 2>/dev/null < "$d/comm" || continue
    [ "$name" = etcd ] || continue
    words=$(cat "$d/cmdline" "$d/environ" 2>/dev/null | tr '\\0' '\\n') || :
    [ -n "$words" ] || continue
    if printf '%s\\n' "$words" | grep -q -e '^--*data-dir' -e '^ETCD_DATA_DIR='; then
      printf '%s\\n' "$words" | grep -q -F -x -e "$data_dir" -e "--data-dir=$data_dir" -e "-data-dir=$data_dir" -e "ETCD_DATA_DIR=$data_dir" || continue
    fi
    printf '%s\\n' "\${d#/proc/}"
  done
}`,
  },

  // pids_of NAME: processes whose program, or whose script, is NAME.
  pids_of: {
    needs: [],
    text: `pids_of() {
  for f in $(grep -l -s -e "\${1#kube-}" /proc/[0-9]*/cmdline); do
    program=$(tr '\\0' '\\n' 2>/dev/null < "$f" | sed -n 1p) || :
    script=$(tr '\\0' '\\n' 2>/dev/null < "$f" | sed -n 2p) || :
    case "\${program##*/} \${script##*/}" in
      "$1 "* | "sh $1" | "bash $1" | "dash $1" | "node $1" | "python3 $1" | "perl $1" | "hyperkube $1" | "hyperkube \${1#kube-}") ;;
      *) continue ;;
    esac
    f=\${f#/proc/}
    printf '%s\\n' "\${f%/cmdline}"
  done
}`,
  },

  etcd_gone: { needs: ['etcd_pids'], text: `etcd_gone() { [ -z "$(etcd_pids)" ]; }` },
  etcd_runs: { needs: ['etcd_pids'], text: `etcd_runs() { [ -n "$(etcd_pids)" ]; }` },
  gone: { needs: ['pids_of'], text: `gone() { [ -z "$(pids_of "$1")" ]; }` },
  runs: { needs: ['pids_of'], text: `runs() { [ -n "$(pids_of "$1")" ]; }` },

  // A unit that waits to be restarted is not at rest.
  unit_rests: {
    needs: [],
    text: `unit_rests() { case $(systemctl show -p ActiveState "$1") in ActiveState=inactive | ActiveState=failed) ;; *) return 1 ;; esac; }`,
  },

  // move_out FOLDER NAME: aside, where no kubelet looks.
  move_out: {
    needs: [],
    text: `move_out() {
  [ -e "$1/$2" ] || return 0
  (umask 077 && mkdir -p "$manifests_aside")
  mv -f "$1/$2" "$manifests_aside/$2"
}`,
  },

  // move_back FOLDER NAME: a kubelet skips names with a dot in front, so that it never reads half a file.
  move_back: {
    needs: [],
    text: `move_back() {
  if [ -e "$manifests_aside/$2" ]; then mv -f "$manifests_aside/$2" "$1/.$2.keyturn"; fi
  if [ -e "$1/.$2.keyturn" ]; then mv -f "$1/.$2.keyturn" "$1/$2"; fi
  rmdir "$manifests_aside" 2>/dev/null || :
}`,
  },

  // folder_out FOLDER STAYS: every manifest but STAYS.
  folder_out: {
    needs: ['move_out'],
    text: `folder_out() {
  for f in "$1"/*; do
    [ "\${f##*/}" = "$2" ] || move_out "$1" "\${f##*/}"
  done
}`,
  },

  // folder_back FOLDER STAYS
  folder_back: {
    needs: ['move_back'],
    text: `folder_back() {
  for f in "$manifests_aside"/* "$1"/.*.keyturn; do
    [ -e "$f" ] || continue
    f=\${f##*/}
    case $f in .*.keyturn) f=\${f#.} f=\${f%.keyturn} ;; esac
    [ "$f" = "$2" ] || move_back "$1" "$f"
  done
}`,
  },

  // folder_is_back FOLDER STAYS: nothing but STAYS is left aside.
  folder_is_back: {
    needs: [],
    text: `folder_is_back() {
  for f in "$manifests_aside"/* "$1"/.*.keyturn; do
    [ ! -e "$f" ] || [ "\${f##*/}" = "$2" ] || return 1
  done
}`,
  },

  // port_open HEX: something listens there.
  port_open: {
    needs: [],
    text: `port_open() { grep -q -s "^ *[0-9]*: [0-9A-F]*:$1 [0-9A-F]*:[0-9A-F]* 0A " /proc/net/tcp /proc/net/tcp6; }`,
  },

  // rename FROM TO: never into a directory that is there; an empty one makes room.
  rename: {
    needs: ['fail'],
    text: `rename() {
  if [ -d "$2" ]; then rmdir "$2" 2>/dev/null || fail "$2 is in the way: it should not be there, and it is not empty."; fi
  mv "$1" "$2"
}`,
  },

  // swap_in LIVE OLD NEW: LIVE becomes OLD, NEW becomes LIVE. Cut off anywhere, it goes on from there.
  swap_in: {
    needs: ['rename', 'fail'],
    text: `swap_in() {
  if [ ! -e "$3" ]; then
    [ -e "$2" ] && [ -e "$1" ] || fail "$3 is missing: the restored data are not there."
    return 0
  fi
  if [ ! -e "$2" ]; then
    if [ -e "$1" ]; then mv "$1" "$2"; else mkdir -m 0700 "$2"; fi
  fi
  rename "$3" "$1"
}`,
  },

  // swap_back LIVE OLD NEW
  swap_back: {
    needs: ['rename'],
    text: `swap_back() {
  [ -e "$2" ] || return 0
  if [ ! -e "$3" ] && [ -e "$1" ]; then mv "$1" "$3"; fi
  rename "$2" "$1"
}`,
  },

  // move_content FROM TO: all but what is Keyturn's, the filesystem's, or a filesystem of its own.
  move_content: {
    needs: [],
    text: `move_content() {
  for entry in "$1"/*; do
    [ -e "$entry" ] || [ -L "$entry" ] || continue
    case \${entry##*/} in keyturn-* | lost+found) continue ;; esac
    [ "$entry" != "$stays" ] || continue
    mv "$entry" "$2/"
  done
}`,
  },

  // swap_content_in LIVE OLD NEW: as swap_in, for a mount point, which can't be renamed. OLD is there only when it is whole.
  swap_content_in: {
    needs: ['move_content', 'fail'],
    text: `swap_content_in() {
  if [ ! -e "$2" ]; then
    [ -e "$3" ] || fail "$3 is missing: the restored data are not there."
    [ -e "$2.part" ] || mkdir -m 0700 "$2.part"
    move_content "$1" "$2.part"
    mv "$2.part" "$2"
  fi
  if [ -e "$3" ]; then
    move_content "$3" "$1"
    rmdir "$3"
  fi
}`,
  },

  // swap_content_back LIVE OLD NEW: OLD.back is there only when LIVE holds nothing new any more.
  swap_content_back: {
    needs: ['move_content'],
    text: `swap_content_back() {
  if [ -e "$2" ]; then
    [ -e "$3" ] || mkdir -m 0700 "$3"
    move_content "$1" "$3"
    mv "$2" "$2.back"
  fi
  for old in "$2.part" "$2.back"; do
    [ -e "$old" ] || continue
    move_content "$old" "$1"
    rmdir "$old"
  done
}`,
  },
};

/** In the table's order, which puts a word after those that it needs or lets the shell find it later: both work. */
function wordsUsedBy(text: string): readonly string[] {
  const used = new Set<string>();
  const add = (name: string): void => {
    if (used.has(name)) return;
    used.add(name);
    WORDS[name]?.needs.forEach(add);
  };
  Object.keys(WORDS)
    .filter((name) => new RegExp(`(^|[\\s;(!&|])${name}(?=[\\s;)]|$)`, 'm').test(text))
    .forEach(add);
  return Object.entries(WORDS).flatMap(([name, { text: word }]) => (used.has(name) ? [word] : []));
}

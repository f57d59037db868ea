/**
 * Owns what runs on a node to begin, watch and end a step: POSIX shell (dash), coreutils and util-linux, nothing installed.
 *
 * A step's folder has: `script`; `token` of who began it; `run`, one line that says which processes it is (pid and start
 * time, so that a pid that was given to another process is not mistaken, and the id of the node's boot); `output`; `exit`.
 * `run` appears by link(2) and `exit` by rename(2), whole and synced: what is there counts, what is not there did not happen.
 * Beside the folders, a file for each cluster has the highest token seen; it is only read and written under its lock.
 */

/**
 * The one command line that sudo has to allow. It reads a length and so many bytes of a program from its input, so that the
 * rest of the input is the program's own. Whoever may run it is root: that is what a restore needs.
 */
export const STEP_ARGV = [
  'sh',
  '-c',
  'read -r n && program=$(head -c "$n") && eval "$program"',
  'keyturn-step',
] as const;

/** More than this a script may not print; bytes. */
export const MAX_OUTPUT = 16 * 1024 * 1024;
/** So much of it is told at once; bytes. */
const CHUNK = 256 * 1024;

/** Needs $base, $cluster, $request, $token, $patience; steps also $step. */
const COMMON = String.raw`
umask 077
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
export PATH LC_ALL
refuse() { printf 'keyturn refused %s %s\n' "$1" "$2"; exit 0; }
now() { date +%s%3N; }
ticks() { read -r up rest < /proc/uptime; echo "${'$'}{up%.*}${'$'}{up#*.}"; }
# Start time of a process; fails when it is gone or has ended.
birth() {
  { read -r stat < "/proc/$1/stat"; } 2> /dev/null || return 1
  set -- ${'$'}{stat##*) }
  [ "$1" != Z ] && echo "${'$'}{20}"
}
alive() { [ "$(birth "$1")" = "$2" ]; }
# A file's one line is replaced as a whole, or not at all.
keep() {
  printf '%s\n' "$2" > "$1.new" && { read -r kept < "$1.new"; } && [ "$kept" = "$2" ] &&
    sync "$1.new" && mv -f "$1.new" "$1" && sync "${'$'}{1%/*}"
}
# Whether the token may still do something here; to be asked under the lock.
fenced() {
  seen=0
  [ ! -e "$fence/token" ] || read -r seen < "$fence/token"
  [ "$token" -lt "$seen" ]
}
enter() {
  fence=$base/.fences/$cluster folder=$base/$request/$step
  mkdir -p "$fence" "$base/$request" || refuse disk "$base"
  exec 9>> "$fence/lock"
  flock -w "$patience" 9 || refuse lock "$fence/lock"
  ! fenced || refuse fenced "$seen"
  [ "$token" = "$seen" ] || keep "$fence/token" "$token" || refuse disk "$base"
}
leave() { exec 9>&-; }
# Sets $state, and for a step that was begun $pid, $born, $keeper, $keeper_born and $began. $1: its folder.
observe() {
  read -r boot < /proc/sys/kernel/random/boot_id
  if [ -e "$1/exit" ]; then
    read -r code by began ended < "$1/exit"
    state="done $code $by $began $ended"
  elif [ ! -e "$1/run" ]; then
    state=not-started
  else
    read -r pid born keeper keeper_born booted began < "$1/run"
    if [ "$booted" != "$boot" ]; then state="vanished rebooted $began"
    elif alive "$pid" "$born" || alive "$keeper" "$keeper_born"; then state="running $began"
    # Its first process is gone, others of its group are not.
    elif [ ! -e "/proc/$pid" ] && kill -s 0 -- "-$pid" 2> /dev/null; then state="running $began"
    # It may have ended since the first look.
    elif [ -e "$1/exit" ]; then observe "$1"
    else state="vanished killed $began"
    fi
  fi
}
`;

/**
 * The file `keeper` of a step's folder. `watch` sees to the script and writes down how it ended; `claim` is run by it, and
 * becomes the script if it may. Arguments: which, folder, token, fence, bound of waiting for the lock in seconds, deadline
 * in milliseconds, most bytes of output, where to say why it was not begun, and for `claim` the pid of the watching one.
 */
const KEEPER = String.raw`${COMMON}
folder=$2 token=$3 fence=$4 patience=$5 deadline=$6 most=$7 refused=$8 keeper=$9
cd "$folder" || exit 1

watch() {
  start=$(ticks)
  # The claim is made by the process that will be the script: what was claimed is what runs.
  setsid sh keeper claim "$folder" "$token" "$fence" "$patience" "$deadline" "$most" "$refused" "$$" < /dev/null &
  child=$!
  while sleep 0.25 && kill -0 "$child"; do
    [ "$(stat -c %s output)" -le "$most" ] && continue
    echo output > ended-by
    kill -s KILL -- "-$child"
    truncate -s "$most" output
    break
  done 2> /dev/null &
  watcher=$!
  wait "$child"
  code=$?
  kill "$watcher" 2> /dev/null
  claimed=
  [ ! -e run ] || read -r claimed rest < run
  [ "$claimed" = "$child" ] || exit 0
  by=itself
  case $code in 124 | 137) [ "$((($(ticks) - start) * 10))" -lt "$deadline" ] || by=deadline ;; esac
  [ ! -e ended-by ] || read -r by < ended-by
  # What the script left running in its group is over with it.
  kill -s KILL -- "-$child" 2> /dev/null
  read -r pid born keeper keeper_born booted began < run
  line="$code $by $began $(now)"
  tries=0
  # The room for this line was taken before the step began, so that a full disk can't lose it.
  until printf '%-200s\n' "$line" 1<> exit.new && sync output exit.new && mv -f exit.new exit && sync .; do
    tries=$((tries + 1))
    [ -e run ] && [ "$tries" -lt 60 ] || exit 1
    sleep 1
  done
}

decline() { printf '%s\n' "$1" > "$refused.new" && mv -f "$refused.new" "$refused"; exit 1; }

claim() {
  exec 9>> "$fence/lock"
  flock -w "$patience" 9 || decline "lock $fence/lock"
  ! fenced || decline "fenced $seen"
  owner=$keeper other=
  observe "$folder"
  [ "$state" = not-started ] || exit 1
  [ ! -e "$fence/current" ] || read -r other < "$fence/current"
  if [ -n "$other" ] && [ "$other" != "$folder" ]; then
    observe "$other"
    case $state in running*) decline "busy $other" ;; esac
  fi
  line="$$ $(birth $$) $owner $(birth "$owner") $boot $(now)"
  keep "$folder/token" "$token" && keep "$fence/current" "$folder" && keep "$folder/run.$$" "$line" &&
    ln "run.$$" run && sync . || decline "disk $folder"
  rm -f "run.$$"
  exec 9>&-
  cd /
  limit=$((deadline / 1000)).$(printf %03d $((deadline % 1000)))
  exec timeout -k 5 "$limit" sh "$folder/script" < /dev/null >> "$folder/output" 2>&1
}

"$1"
`;

/** Detaches `keeper`: as a scope of systemd's own, so that the end of the login does not end it; else as its own session. */
const DETACH = String.raw`
unit=$1
shift
if [ -d /run/systemd/system ] && command -v systemd-run > /dev/null; then
  systemd-run --scope --quiet --collect --unit="$unit" -- sh "$2/keeper" "$@" && exit 0
fi
# Where that failed the step may have begun all the same: the claim lets it begin only once.
exec sh "$2/keeper" "$@"
`;

/** Needs $offset; `observe_until` also $wait, in milliseconds. */
const REPORT = String.raw`
# Looks until the step has ended, or the command given holds, or time is up.
observe_until() {
  until=$(($(now) + wait))
  while observe "$folder"; do
    case $state in running*) ;; *) break ;; esac
    ! "$@" && [ "$(now)" -lt "$until" ] || break
    sleep 0.05
  done
}
report() {
  size=0
  [ ! -e "$folder/output" ] || size=$(stat -c %s "$folder/output")
  printf 'keyturn %s\n%s %s\n' "$state" "$offset" "$size"
  [ "$size" -le "$offset" ] || tail -c "+$((offset + 1))" "$folder/output" | head -c "$chunk"
}
`;

/** Needs $script, $sha256, $keeper, $detach, $deadline, $most, $unless and $wait. */
const START = String.raw`
enter
rm -rf "$base/$request"/.new.*
if [ -d "$folder" ]; then
  [ "$(sha256sum < "$folder/script")" = "$sha256  -" ] || refuse differs "$folder"
else
  new=$base/$request/.new.$$
  mkdir "$new" && printf %s "$script" > "$new/script" && printf %s "$keeper" > "$new/keeper" &&
    printf '%-200s\n' '' > "$new/exit.new" && : > "$new/output" && printf '%s\n' "$token" > "$new/token" &&
    [ "$(sha256sum < "$new/script")" = "$sha256  -" ] && sync "$new"/* "$new" && mv -T "$new" "$folder" &&
    sync "$base/$request" || { rm -rf "$new"; refuse disk "$folder"; }
fi
observe "$folder"
leave
if [ "$state" = not-started ] && [ -n "$unless" ] && sh -c "$unless" < /dev/null > /dev/null 2>&1; then
  state='not-started needless'
elif [ "$state" = not-started ]; then
  refused=$folder/refused.$$
  setsid sh -c "$detach" keyturn-step "keyturn-$request-$step-$$.scope" \
    watch "$folder" "$token" "$fence" "$patience" "$deadline" "$most" "$refused" < /dev/null > "$folder/launch" 2>&1 &
  tries=0
  while [ ! -e "$folder/run" ] && [ ! -e "$refused" ] && [ "$tries" -lt 500 ]; do
    sleep 0.02
    tries=$((tries + 1))
  done
  if [ -e "$refused" ]; then
    read -r why what < "$refused"
    rm -f "$refused"
    [ -e "$folder/run" ] || refuse "$why" "$what"
  fi
fi
[ "$state" = 'not-started needless' ] || observe_until false
report
`;

/** Needs $offset, $wait in milliseconds. */
const LOOK = String.raw`
enter
leave
shown() { [ "$(stat -c %s "$folder/output")" -gt "$offset" ]; }
observe_until shown
report
`;

const STOP = String.raw`
enter
leave
observe "$folder"
tries=0
while case $state in running*) [ "$tries" -lt 100 ] ;; *) false ;; esac; do
  signal=TERM
  [ "$tries" -lt 50 ] || signal=KILL
  [ -e "$folder/exit" ] || echo stop > "$folder/ended-by"
  [ "$((tries % 50))" != 0 ] || kill -s "$signal" -- "-$pid" 2> /dev/null
  sleep 0.1
  tries=$((tries + 1))
  observe "$folder"
done
report
`;

/** Needs $path, $size, $sha256. */
const FILE = String.raw`
step=
enter
directory=${'$'}{path%/*}
room() { df -B1 --output=avail "$directory" | tail -n 1; }
place() {
  mkdir -p "$directory" && mv -fT "$1" "$path" && sync "$directory" || refuse disk "$directory"
}
`;

/** Says whether the file has to be sent; removes what an earlier sending left. */
const HAVE = String.raw`${FILE}
rm -f "$path".part.*
leave
if [ -f "$path" ] && [ "$(stat -c %s "$path")" = "$size" ] && [ "$(sha256sum < "$path")" = "$sha256  -" ]; then
  echo 'keyturn have'
  exit 0
fi
mkdir -p "$directory" || refuse disk "$directory"
[ "$(room)" -ge "$size" ] || refuse disk "$directory"
echo 'keyturn want'
`;

/** Takes the file from its input. The sha256 is of what was written, made while it is written. */
const RECEIVE = String.raw`${FILE}
leave
part=$path.part.$$
trap 'rm -f "$part"' EXIT
# PIPE: nobody reads any more what we say when the connection is lost.
trap 'exit 1' HUP INT TERM PIPE
sum=$(tee "$part" 2> /dev/null | sha256sum)
got=$(stat -c %s "$part")
if [ "$got" != "$size" ]; then
  space=$(room)
  rm -f "$part"
  [ "$space" -ge 1048576 ] || refuse disk "$directory"
  refuse short "$got"
fi
[ "$sum" = "$sha256  -" ] || refuse hash "${'$'}{sum%% *}"
sync "$part" || refuse disk "$directory"
enter
place "$part"
echo 'keyturn have'
`;

const VERBS = { start: START, look: LOOK, stop: STOP, have: HAVE, receive: RECEIVE } as const;

export type Verb = keyof typeof VERBS;

/** What to write to the input of `STEP_ARGV`: a length and a program, which says first what its variables are. */
export function stepProgram(verb: Verb, variables: Readonly<Record<string, string | number>>): Buffer {
  const set = { keeper: KEEPER, detach: DETACH, most: MAX_OUTPUT, chunk: CHUNK, ...variables };
  // A program that was cut off must do nothing: only its last line calls what it defines.
  return framed(`keyturn() {\n${assign(set)}\n${COMMON}${REPORT}${VERBS[verb]}\n}\nkeyturn`);
}

/** The same for a script that is run as it is, with nothing left of it on the node. */
export function plainProgram(script: string): Buffer {
  return framed(`keyturn() {\n${assign({ script })}\neval "$script"\n}\nkeyturn`);
}

function assign(variables: Readonly<Record<string, string | number>>): string {
  return Object.entries(variables)
    .map(([name, value]) => `${name}='${String(value).replaceAll("'", `'\\''`)}'`)
    .join('\n');
}

function framed(program: string): Buffer {
  const bytes = Buffer.from(program);
  return Buffer.concat([Buffer.from(`${bytes.length}\n`), bytes]);
}

/** Owns how a look around a node is printed and read: lines of `what key content`, the content in base64. */

/** `show WHAT KEY` prints its input; `tell WHAT KEY WORD…` prints these words. */
export const SHOW = `show() { printf '%s %s ' "$1" "$2"; base64 2>/dev/null | tr -d '\\n'; echo; }
tell() { what=$1 key=$2; shift 2; printf '%s' "$*" | show "$what" "$key"; }`;

/** What a script printed with `show` and `tell`. */
export interface Printed {
  /** Undefined when it was not printed. */
  get(what: string, key?: string): Buffer | undefined;
  /** The same as text; '' when it was not printed. */
  text(what: string, key?: string): string;
  /** Every key that was printed for `what`, in order. */
  keys(what: string): readonly string[];
}

export function parsePrinted(stdout: Uint8Array): Printed {
  const lines = Buffer.from(stdout)
    .toString('latin1')
    .split('\n')
    .map((line) => line.split(' '));
  const get: Printed['get'] = (what, key = '-') => {
    const found = lines.find((line) => line[0] === what && line[1] === key)?.[2];
    return found === undefined ? undefined : Buffer.from(found, 'base64');
  };
  return {
    get,
    text: (what, key) => get(what, key)?.toString() ?? '',
    keys: (what) => lines.filter(([first]) => first === what).map(([, key = '']) => key),
  };
}

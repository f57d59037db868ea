/** Owns what the composer offers while a person types: commands, their sub-commands, people and groups. */

/**
 * Looks at the text before the caret. Gives `{from, items, usage}`: `items` replace the text from `from` on, `usage` says
 * what comes next; undefined when there is nothing to offer. `eager`: Enter takes the first item.
 */
export function complete(text, { commands, people }) {
  return completeCommand(text, commands) ?? completeMention(text, people);
}

function completeCommand(text, commands) {
  if (!text.startsWith('/')) return undefined;
  const space = text.indexOf(' ');
  if (space < 0) {
    const items = commands
      .filter(({ command }) => command.startsWith(text))
      .map(({ command, usageHint, description }) => ({
        insert: `${command} `,
        label: command,
        usage: usageHint,
        description,
      }));
    const exact = items.length === 1 && items[0].label === text;
    return items.length === 0 ? undefined : { from: 0, items, eager: !exact };
  }
  const known = commands.find(({ command }) => command === text.slice(0, space));
  return known && completeSubCommand(text, space + 1, parseUsage(known.usageHint));
}

function completeSubCommand(text, from, usages) {
  const typed = text.slice(from);
  const [word, ...more] = typed.split(' ');
  const known = usages.find((usage) => usage.name === word);
  if (known !== undefined) {
    const rest = known.rest.slice(more.join(' ').trim() === '' ? 0 : 1);
    const done = more.length > 0 && more.at(-1) !== '' && known.rest.length <= more.length;
    return rest.length === 0 || done ? undefined : { from, items: [], usage: `${known.name} ${known.rest.join(' ')}` };
  }
  if (more.length > 0) return undefined;
  const items = usages
    .filter(({ name }) => name.startsWith(word))
    .map(({ name, rest }) => ({ insert: rest.length === 0 ? name : `${name} `, label: name, usage: rest.join(' ') }));
  return items.length === 0 ? undefined : { from, items, eager: word !== '' };
}

/** `help | status CLUSTER` or `[help|status]`: each sub-command with what it takes. */
export function parseUsage(hint) {
  return hint
    .replace(/^\[(.*)\]$/, '$1')
    .split('|')
    .map((part) => part.trim().split(/\s+/))
    .filter(([name]) => /^[a-z][\w-]*$/.test(name ?? ''))
    .map(([name, ...rest]) => ({ name, rest }));
}

function completeMention(text, people) {
  const found = /(?:^|\s)@([\w.-]*)$/.exec(text);
  if (found === null) return undefined;
  const typed = found[1].toLowerCase();
  const items = people
    .filter(
      ({ handle, name }) =>
        handle.startsWith(typed) ||
        name
          .toLowerCase()
          .split(' ')
          .some((part) => part.startsWith(typed)),
    )
    .map(({ handle, name }) => ({ insert: `@${handle} `, label: `@${handle}`, usage: '', description: name }));
  return items.length === 0 ? undefined : { from: text.length - typed.length - 1, items, eager: true };
}

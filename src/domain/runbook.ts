/** Owns how a plan reads as a runbook: Markdown that a person could follow by hand, command by command. */
import { planDigest, type Phase, type Plan, type Step } from './plan.ts';
import { quote } from './restore/shell.ts';
import { isPlain } from './snapshot.ts';

/** Markdown; the same plan gives the same text. */
export function renderRunbook(plan: Plan): string {
  const { snapshot, cluster, members } = plan;
  const lines = [
    `# Restore of ${inline(cluster)} from ${inline(snapshot.id)}`,
    '',
    `Plan \`${planDigest(plan)}\`, request ${inline(plan.request)}.`,
    '',
    `- Snapshot: ${inline(snapshot.object.key)}, ${snapshot.size} bytes, sha256 \`${snapshot.sha256}\`, revision ${snapshot.revision === '0' ? 'unknown' : snapshot.revision}`,
    `- Lost: everything written after ${snapshot.takenAt}, when the snapshot was taken`,
    `- Mode: ${plan.mode === 'all-members' ? 'the snapshot is restored on every member' : 'one member is restored, the others join it with empty data'}`,
    `- Token of the new cluster: ${inline(plan.token)}`,
    `- Revisions are raised by: ${plan.bumpRevision ?? 'nothing'}`,
    '',
    '## Mind',
    ...(plan.warnings.length === 0 ? ['Nothing out of the ordinary.'] : plan.warnings.map((warning) => `- ${warning}`)),
    '',
    '## Members afterwards',
    ...members.flatMap((member) => [
      `- ${inline(member.name)} on ${inline(member.node)}, ${member.peerUrls.map(inline).join(', ')}, ${idText(member.predictedId)}`,
      ...member.oldData.map((path) => `  - old data: ${inline(path)}`),
    ]),
    ...decodingLines(snapshot),
    ...plan.phases.flatMap((phase, i) => phaseLines(phase, i + 1)),
    '',
    '## If a step fails',
    'Before the data are swapped, and after it too: take back what was done, phase by phase from the last to the first, with the script named "Undo" of each step.',
  ];
  return `${lines.join('\n')}\n`;
}

/** How a person makes the snapshot of what lies in the store; nothing where they are the same. */
function decodingLines({ object, encoding }: Plan['snapshot']): readonly string[] {
  if (isPlain(encoding)) return [];
  const { compression, encryption, recipients } = encoding;
  const file = quote(object.key.split('/').at(-1) ?? '');
  const isPassphrase = recipients.includes('passphrase');
  const whose = isPassphrase ? 'its passphrase' : `the identity of one of ${recipients.map(inline).join(', ')}`;
  const steps = [
    ...(encryption === 'age' ? [isPassphrase ? `age -d ${file}` : `age -d -i IDENTITY_FILE ${file}`] : []),
    ...(compression === 'zstd' ? [encryption === 'age' ? 'zstd -d' : `zstd -d -c ${file}`] : []),
    ...(compression === 'gzip' ? [`gzip -d -c ${file}`] : []),
  ];
  return [
    '',
    '## Before you begin',
    `The store holds the snapshot ${wordsFor(encoding)}: ${inline(object.key)}, ${object.size} bytes, sha256 \`${object.sha256}\`. Get it from there${encryption === 'age' ? `, to a machine with ${whose}` : ''}, and make the snapshot of it:`,
    '',
    ...fenced(`${steps.join(' | ')} > snapshot.db`),
  ];
}

function wordsFor({ compression, encryption }: Plan['snapshot']['encoding']): string {
  return [...(compression === 'none' ? [] : ['compressed']), ...(encryption === 'age' ? ['encrypted'] : [])].join(
    ' and ',
  );
}

function idText(id: string | undefined): string {
  return id === undefined ? 'with an id that etcd chooses' : `with id \`${BigInt(id).toString(16)}\` (${id})`;
}

const HOW: Readonly<Record<Phase['order'], string>> = {
  together: 'On all of these nodes side by side',
  'in-turn': 'One node after the other, in this order',
  'last-alone': 'Side by side, and the last node when the others are done',
};

function phaseLines({ title, order, steps }: Phase, number: number): readonly string[] {
  const how = HOW[order];
  return [
    '',
    `## ${number}. ${title}`,
    steps.length === 1 ? 'On one node.' : `${how}; go on when all are done.`,
    ...steps.flatMap(stepLines),
  ];
}

function stepLines(step: Step): readonly string[] {
  return [
    '',
    `### ${inline(step.node)}: ${step.title}`,
    ...actionLines(step),
    ...(step.undo === undefined ? [] : ['', 'Undo:', '', ...fenced(step.undo)]),
  ];
}

function actionLines({ action, deadlineMs }: Step): readonly string[] {
  const within = `within ${Math.ceil(deadlineMs / 1000)} s`;
  switch (action.kind) {
    case 'script':
      return [`As root, ${within}:`, '', ...fenced(action.script)];
    case 'fetch':
      return [
        `Copy the snapshot to ${inline(action.path)} ${within}. It must have ${action.size} bytes and the sha256 \`${action.sha256}\`.`,
      ];
    case 'proof':
      return [
        action.proves === 'healthy'
          ? `See ${within} that the member answers and has its id, that all have one cluster id, one revision and one hash, and which alarms there are.`
          : `See ${within} that \`/readyz\` of kube-apiserver says ok, that nodes are listed, and that the pods of kube-system run.`,
      ];
  }
}

/** A fence that is longer than any in the text. */
function fenced(text: string): readonly string[] {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([ticks]) => ticks.length));
  const fence = '`'.repeat(longest + 1);
  return [`${fence}sh`, text.replace(/\n$/, ''), fence];
}

/** As code within a line, whatever it holds. */
function inline(text: string): string {
  const line = text.replace(/\s/g, ' ');
  return line.includes('`') ? `\`\` ${line} \`\`` : `\`${line}\``;
}

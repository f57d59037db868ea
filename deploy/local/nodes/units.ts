/** Owns what a part of a local node is made of: files, and units of systemd. */

export interface File {
  readonly text: string;
  readonly mode: number;
}

export interface ControlPlane {
  /** Files by path on the node. */
  readonly files: Readonly<Record<string, File>>;
  /** Units that start at boot. */
  readonly units: readonly string[];
}

/** A service that is kept running; `settings`: more lines of `[Service]`; `needs`: units that are started with it, before it. */
export function unitFile(
  name: string,
  argv: readonly string[],
  settings: readonly string[] = [],
  needs: readonly string[] = [],
): Record<string, File> {
  const after = ['network.target', ...needs].join(' ');
  const wants = needs.length === 0 ? '' : `Wants=${needs.join(' ')}\n`;
  const text = `[Unit]
Description=${name}
After=${after}
${wants}StartLimitIntervalSec=0

[Service]
${settings.map((line) => `${line}\n`).join('')}ExecStart=${argv.join(' \\\n  ')}
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
`;
  return { [`/etc/systemd/system/${name}.service`]: plain(text) };
}

export function plain(text: string): File {
  return { text, mode: 0o644 };
}

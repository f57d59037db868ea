/** Owns the local workspace as a process of its own: options come as JSON in KEYTURN_WORKSPACE, one line says when it is up. */
import { startWorkspace, type WorkspaceOptions } from './server.ts';

const options = JSON.parse(process.env['KEYTURN_WORKSPACE'] ?? '{}') as WorkspaceOptions;
const workspace = await startWorkspace(options);
console.log(JSON.stringify({ apiUrl: workspace.apiUrl, tokens: workspace.tokens, ids: workspace.ids }));

const close = (): void => void workspace.close().then(() => process.exit(0));
process.on('SIGTERM', close);
// Ctrl-C is for the process that started this one; it says when to end.
process.on('SIGINT', () => undefined);
process.on('disconnect', close);

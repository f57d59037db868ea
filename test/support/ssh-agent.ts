/** An ssh-agent that holds one key, on a socket of its own; what OpenSSH's agent would be, on machines that have none. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import ssh2 from 'ssh2';

export async function startAgent(socket: string, keyFile: string): Promise<{ close(): void }> {
  const key = ssh2.utils.parseKey(readFileSync(keyFile));
  if (key instanceof Error) throw key;
  const server = createServer((client) => {
    const agent = new ssh2.AgentProtocol(false);
    agent.on('identities', (request) => agent.getIdentitiesReply(request, [key]));
    agent.on('sign', (request, _key, data, options) => {
      agent.signReply(request, key.sign(data, options.hash));
    });
    client.pipe(agent).pipe(client);
    client.on('error', () => undefined);
  });
  server.listen(socket);
  await once(server, 'listening');
  return { close: () => server.close() };
}

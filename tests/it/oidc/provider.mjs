// The certified OpenID provider of npm, with its own pages, for one client: node provider.mjs FOLDER PORT REDIRECT SECRET
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [folder, port, redirect, secret] = process.argv.slice(2);
const found = createRequire(`${folder}/`).resolve('oidc-provider');
const { default: Provider } = await import(pathToFileURL(found).href);
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{ client_id: 'sekimori', client_secret: secret, redirect_uris: [redirect] }],
  pkce: { required: () => true },
});
provider.listen(Number(port), '127.0.0.1');

// An OpenID Connect provider for tests: node provider.mjs NODE_MODULES REDIRECT_URI. It prints its issuer, then takes
// commands as lines of JSON on standard input: {"rotate": true} makes it sign with a new key. Whoever logs in is taken
// at their word; "unverified-..." have an address that is not verified, "nomail-..." none.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { generateKeyPairSync, randomUUID } from "node:crypto";
import http from "node:http";
import { pathToFileURL } from "node:url";

const [folder, redirectUri] = process.argv.slice(2);
const require = createRequire(folder + "/");
const { default: Provider } = await import(pathToFileURL(require.resolve("oidc-provider")).href);

function key() {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { ...privateKey.export({ format: "jwk" }), use: "sig", alg: "RS256", kid: randomUUID() };
}

function make(issuer, keys) {
  const client = {
    client_id: "dcos", client_secret: "client secret: with % and +", redirect_uris: [redirectUri],
    grant_types: ["authorization_code", "implicit"], response_types: ["code", "id_token"],
    // Other logins of the same people: their tokens are not ours.
  };
  const other = { ...client, client_id: "another" };
  const provider = new Provider(issuer, {
    clients: [client, other],
    jwks: { keys },
    cookies: { keys: ["only for tests"] },
    claims: { openid: ["sub"], email: ["email", "email_verified"] },
    conformIdTokenClaims: false,
    features: { devInteractions: { enabled: true } },
    pkce: { required: (ctx, c) => false },
    async findAccount(ctx, id) {
      const claims = { sub: id };
      if (!id.startsWith("nomail-"))
        Object.assign(claims, { email: id, email_verified: !id.startsWith("unverified-") });
      return { accountId: id, claims: async () => claims };
    },
  });
  // Implicit flows over plain HTTP to loopback addresses are for this test alone.
  provider.Client.Schema.prototype.invalidate = function invalidate(message, code) {
    if (code === "implicit-force-https" || code === "implicit-forbid-localhost") return;
    throw new Error(message);
  };
  return provider.callback();
}

let handler = null;
const server = http.createServer((req, res) => handler(req, res));
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  handler = make(issuer, [key()]);
  console.log(issuer);
  createInterface({ input: process.stdin }).on("line", (line) => {
    if (JSON.parse(line).rotate) {
      handler = make(issuer, [key()]);
      console.log("rotated");
    }
  }).on("close", () => process.exit(0));
});

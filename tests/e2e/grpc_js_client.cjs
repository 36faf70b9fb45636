// Node's own gRPC client at the edge: what it is answered goes to standard output as one JSON document.
// Arguments: address, folder of the contracts, id of a finished job, its owner's token.
"use strict";

const crypto = require("node:crypto");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const [address, folder, jobId, token] = process.argv.slice(2);
const files = ["auth/v1/session_service", "wallet/v1/credit_service", "composer/v1/job_service"];
const definition = loader.loadSync(
  files.map((name) => `cadenza/${name}.proto`),
  { includeDirs: [folder], keepCase: true, longs: Number, enums: String, defaults: true, oneofs: true },
);
const { cadenza } = grpc.loadPackageDefinition(definition);
const plain = grpc.credentials.createInsecure();
const deadline = () => ({ deadline: Date.now() + 20_000 });

const ask = (client, method, request, metadata = new grpc.Metadata()) =>
  new Promise((resolve, reject) => {
    client[method](request, metadata, deadline(), (error, answer) => (error ? reject(error) : resolve(answer)));
  });

async function main() {
  const mine = new grpc.Metadata();
  mine.set("authorization", `Bearer ${token}`);
  const sessions = new cadenza.auth.v1.SessionService(address, plain);
  const wallet = new cadenza.wallet.v1.CreditService(address, plain);
  const jobs = new cadenza.composer.v1.JobService(address, plain);

  const login = { provider: "web", provider_id: crypto.randomUUID() };
  const opened = await ask(sessions, "AnonymousLogin", login);
  const { balance } = await ask(wallet, "GetBalance", {}, mine);
  const refused = await ask(wallet, "GetBalance", {}).then(
    () => null,
    (error) => ({ code: error.code, told: error.metadata.get("grpc-status-details-bin").length === 1 }),
  );
  const events = await new Promise((resolve, reject) => {
    const found = [];
    const stream = jobs.WatchJob({ job_id: jobId }, mine, deadline());
    stream.on("data", (message) => message.event && found.push(message.event));
    stream.on("error", reject);
    stream.on("end", () => resolve(found));
  });
  process.stdout.write(
    JSON.stringify({
      new: opened.is_new,
      available: balance.available_credits,
      sequences: events.map((event) => event.sequence),
      final: events.at(-1).final && events.at(-1).state,
      refused,
    }),
  );
}

main().then(
  () => process.exit(0),
  (error) => {
    process.stderr.write(String(error.stack ?? error));
    process.exit(1);
  },
);

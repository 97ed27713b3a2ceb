// A journey through the client while the service is killed and started again: the test that starts this reads and writes lines.
import { createInterface } from "node:readline";
import { createRecognizeClient, type PendingList } from "../dist/index.js";

const [baseUrl = "", backendKey = "", approverKey = "", userId = "", operationId = ""] = process.argv.slice(2);
const later = `${operationId}-later`;
const backend = createRecognizeClient({ baseUrl, apiKey: backendKey, attempts: 20 });
const approver = createRecognizeClient({ baseUrl, apiKey: approverKey });
const told = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

const create = (id: string, key?: string) =>
  backend.api.POST("/v2/users/{userId}/operations", {
    params: { path: { userId }, ...(key ? { header: { "Idempotency-Key": key } } : {}) },
    body: { operationId: id, operationPayload: "Pay $500 to account 1234", expiresIn: 300 },
  });

const ids = (list: PendingList | void) => list?.operations.map((operation) => operation.operationId) ?? [];

const created = await create(operationId, operationId);
const list = await approver.api.GET("/v2/users/{userId}/operations/pending", { params: { path: { userId } } });
const events = approver.followPending(userId);
const first = await events.next();
const outcome = backend.waitForOutcome(operationId, { timeout: 120_000 });
console.log(JSON.stringify({ listed: list.data?.map((operation) => operation.operationId), seen: ids(first.value) }));

// The service is killed now.
await told.next();
// Whatever is sent again and again is sent for much longer.
const tooLong = new Promise<string>((resolve) => setTimeout(resolve, 10_000, "sent again").unref());
const withoutKey = await Promise.race([create(`${operationId}-without-key`).then(() => "answered", () => "lost"), tooLong]);
const withKey = create(later, later);
console.log(JSON.stringify({ withoutKey }));

// The service runs again.
await told.next();
const sentAgain = await withKey;
const decided = await approver.api.POST("/v2/operations/{operationId}/decision", {
  params: { path: { operationId } },
  body: { userId, decision: "approve", authType: "biom" },
});
const { status } = await outcome;
let rest: string[];
do rest = ids((await events.next()).value);
while (rest.includes(operationId));
await events.return();
if (!created.data || !sentAgain.data || !decided.data) throw new Error("A call was refused.");
console.log(JSON.stringify({ status, rest }));
process.stdin.destroy();

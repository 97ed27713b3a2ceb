// Asks a user to approve something and waits for the end. Exit code 0: approved. Start: node examples/relying-party.ts A1B2C3D4E5F6 'Pay $500'
const [user = "A1B2C3D4E5F6", payload = "Pay $500 to account 1234"] = process.argv.slice(2);
const url = process.env.RECOGNIZE_URL ?? "http://localhost:8080";
const key = process.env.RECOGNIZE_KEY ?? "demo-backend-key";
const id = `txn-${crypto.randomUUID()}`;

type Operation = { operationId: string; status: "pending" | "approved" | "denied" | "expired" | "cancelled"; reason?: string };

// 429 and 503 say when to come again; any other error is final.
async function send<T>(path: string, init: RequestInit & { headers?: Record<string, string> }): Promise<T> {
  for (;;) {
    const answer = await fetch(new URL(path, url), { ...init, headers: { "X-Api-Key": key, ...init.headers } });
    if (answer.ok) return (await answer.json()) as T;
    if (answer.status !== 429 && answer.status !== 503) throw new Error(await answer.text());
    await new Promise((resume) => setTimeout(resume, 1000 * Number(answer.headers.get("Retry-After") ?? 1)));
  }
}

// The same Idempotency-Key each time: a create whose answer was lost can be sent again.
await send(`/v2/users/${user}/operations`, {
  method: "POST",
  headers: { "Content-Type": "application/json", "Idempotency-Key": id },
  body: JSON.stringify({ operationId: id, operationPayload: payload, expiresIn: 300 }),
});

let operation: Operation;
do {
  operation = await send<Operation>(`/v2/operations/${encodeURIComponent(id)}`, { headers: { Prefer: "wait=60" } });
} while (operation.status === "pending");

console.log(JSON.stringify(operation));
process.exitCode = operation.status === "approved" ? 0 : 1;

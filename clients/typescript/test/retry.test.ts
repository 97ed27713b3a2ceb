import assert from "node:assert/strict";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { createRecognizeClient } from "../dist/index.js";
import { pauseBefore } from "../dist/retry.js";

const told = (seconds: string) => new Response(null, { status: 503, headers: { "Retry-After": seconds } });

async function serve(context: TestContext, answer: RequestListener): Promise<string> {
  const server = createServer(answer).listen(0, "127.0.0.1");
  context.after(() => server.close());
  await new Promise((resolve) => server.once("listening", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("a pause is as long as the answer says, but neither none nor hours", () => {
  assert.equal(pauseBefore(0, told("7")), 7_000);
  assert.equal(pauseBefore(0, told("0")), 250);
  assert.equal(pauseBefore(0, told("86400")), 30_000);
  assert.equal(pauseBefore(0, told("Wed, 21 Oct 2015 07:28:00 GMT")), 250);
  assert.equal(pauseBefore(0, told("Fri, 31 Dec 9999 23:59:59 GMT")), 30_000);
});

test("an answer that names neither seconds nor a date leaves the pause to the client", () => {
  for (const retryAfter of ["", "NaN", "soon"]) {
    const pause = pauseBefore(3, told(retryAfter));
    assert.ok(pause >= 1_000 && pause <= 2_000, `${pause} after '${retryAfter}'`);
  }
});

test("a redirect is not followed, so that nobody else gets the key", async (context) => {
  let keys = 0;
  const other = await serve(context, (request, response) => {
    keys += request.headers["x-api-key"] === undefined ? 0 : 1;
    response.writeHead(200, { "Content-Type": "application/json" }).end("{}");
  });
  let redirects = 0;
  const redirecting = await serve(context, (_, response) => {
    redirects++;
    response.writeHead(307, { Location: other }).end();
  });
  const client = createRecognizeClient({ baseUrl: redirecting, apiKey: "a-key", attempts: 1 });

  await assert.rejects(client.api.GET("/v2/operations/{operationId}", { params: { path: { operationId: "txn-1" } } }));

  assert.deepEqual([redirects, keys], [1, 0]);
});

import createFetchClient, { type Client } from "openapi-fetch";
import { eventsIn } from "./events.js";
import { isTransient, pause, pauseBefore, retrying } from "./retry.js";
import type { components, paths } from "./schema.js";

export { type components, known, type operations, type paths } from "./schema.js";

/** An operation as a relying party reads it. */
export type Operation = components["schemas"]["OperationBody"];

/** An operation as an approver sees it. */
export type PendingOperation = components["schemas"]["PendingOperationBody"];

/** An error answer (RFC 9457). Decide by its `type`. */
export type Problem = components["schemas"]["ProblemBody"];

export interface RecognizeOptions {
  /** Where the service is, such as `https://recognize.example.com`. */
  baseUrl: string;
  /** The key that is sent as `X-Api-Key`. */
  apiKey: string;
  /** How often a call that may be repeated is sent at most. Default: 5. */
  attempts?: number;
  /** Sends the requests. Default: the platform's own. */
  fetch?: (request: Request) => Promise<Response>;
}

export interface WaitOptions {
  /** How long to wait, in milliseconds. Default: until there is an outcome. */
  timeout?: number;
  signal?: AbortSignal;
}

export interface FollowOptions {
  /** The id of the last list that was seen: the first one then comes only if it is another one. */
  lastEventId?: string;
  signal?: AbortSignal;
}

/** The whole list of what waits for a user. */
export interface PendingList {
  /** Identifies the content. */
  id: string;
  operations: PendingOperation[];
}

/** The service refused a call. */
export class RecognizeError extends Error {
  override readonly name = "RecognizeError";

  constructor(
    readonly status: number,
    readonly problem: Problem | undefined,
  ) {
    super(problem?.detail ?? `The service answered ${status}.`);
  }
}

/** The client of one customer's key. */
export interface RecognizeClient {
  /** Every call of the API, typed. What may be repeated is sent again when the service or the connection fails. */
  readonly api: Client<paths>;

  /**
   * Reads the operation as soon as it is no longer pending. When the time is over it is still pending. Survives lost
   * connections and restarts of the service.
   */
  waitForOutcome(operationId: string, options?: WaitOptions): Promise<Operation>;

  /** The user's pending list, now and after every change, until it is left or its signal aborts. Connects again by itself. */
  followPending(userId: string, options?: FollowOptions): AsyncGenerator<PendingList, void, void>;
}

const longestWait = 60;

// A connection may be lost without a word, so no answer is awaited much longer than the service takes.
const patience = 15_000;

// The service sends something at least every 15 seconds.
const longestSilence = 45_000;

export function createRecognizeClient(options: RecognizeOptions): RecognizeClient {
  const send = options.fetch ?? ((request: Request) => fetch(request, { redirect: "error" }));
  const settings = { baseUrl: options.baseUrl, headers: { "X-Api-Key": options.apiKey } };
  const once = createFetchClient<paths>({ ...settings, fetch: send });
  return {
    api: createFetchClient<paths>({ ...settings, fetch: retrying(send, options.attempts ?? 5) }),
    waitForOutcome: (operationId, wait = {}) => waitForOutcome(once, operationId, wait),
    followPending: (userId, follow = {}) => followPending(once, userId, follow),
  };
}

async function waitForOutcome(api: Client<paths>, operationId: string, { timeout = Number.POSITIVE_INFINITY, signal }: WaitOptions): Promise<Operation> {
  const end = Date.now() + timeout;
  for (let attempt = 0; ; attempt++) {
    signal?.throwIfAborted();
    const begun = Date.now();
    const seconds = Math.min(longestWait, Math.floor((end - Date.now()) / 1000));
    let answer: Response | undefined;
    let failure: unknown;
    try {
      const { data, error, response } = await api.GET("/v2/operations/{operationId}", {
        params: { path: { operationId }, ...(seconds > 0 ? { header: { Prefer: `wait=${seconds}` } } : {}) },
        signal: either(signal, AbortSignal.timeout(Math.max(seconds, 0) * 1000 + patience)),
      });
      answer = response;
      if (data !== undefined) {
        if (data.status !== "pending" || Date.now() >= end) return data;
        attempt = 0;
        // A proxy that does not pass the preference on, or a process that stops, must not be asked without a pause.
        if (Date.now() - begun >= 1000) continue;
      } else {
        failure = new RecognizeError(response.status, error);
        if (!isTransient(response.status)) throw failure;
      }
    } catch (error) {
      if (error instanceof RecognizeError || signal?.aborted) throw error;
      failure = error;
    }
    const rest = end - Date.now();
    if (failure !== undefined && rest <= 0) throw failure;
    await pause(Math.min(pauseBefore(attempt, answer), Math.max(rest, 0)), signal);
  }
}

async function* followPending(api: Client<paths>, userId: string, { lastEventId, signal }: FollowOptions): AsyncGenerator<PendingList, void, void> {
  let shown = lastEventId;
  for (let attempt = 0; ; attempt++) {
    signal?.throwIfAborted();
    const connection = new AbortController();
    let silence = setTimeout(() => connection.abort(), longestSilence);
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(() => connection.abort(), longestSilence);
    };
    let answer: Response | undefined;
    try {
      const { data, error, response } = await api.GET("/v2/users/{userId}/operations/events", {
        params: { path: { userId }, ...(shown === undefined ? {} : { header: { "Last-Event-ID": shown } }) },
        headers: { Accept: "text/event-stream" },
        parseAs: "stream",
        signal: either(signal, connection.signal),
      });
      answer = response;
      if (!response.ok && !isTransient(response.status)) throw new RecognizeError(response.status, error);
      for await (const event of data == null ? [] : eventsIn(data, heard)) {
        attempt = 0;
        shown = event.id;
        if (event.name === "pending") yield { id: event.id, operations: JSON.parse(event.data) as PendingOperation[] };
      }
    } catch (error) {
      if (error instanceof RecognizeError || error instanceof SyntaxError || signal?.aborted) throw error;
    } finally {
      clearTimeout(silence);
      connection.abort();
    }
    await pause(pauseBefore(attempt, answer), signal);
  }
}

const either = (signal: AbortSignal | undefined, other: AbortSignal): AbortSignal => (signal ? AbortSignal.any([signal, other]) : other);

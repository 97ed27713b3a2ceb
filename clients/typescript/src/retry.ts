/** What the service, or a proxy before it, answers when the same request may succeed a moment later. */
const transient = new Set([429, 502, 503, 504]);

const shortestPause = 250;
const longestPause = 30_000;

// A connection may be lost without a word. The longest answer that the service waits with takes a minute.
const patience = 75_000;

export const isTransient = (status: number): boolean => transient.has(status);

/** How long to wait before the next attempt, in milliseconds: as long as the answer says, or longer with each failure. */
export function pauseBefore(attempt: number, answer?: Response): number {
  const told = answer?.headers.get("Retry-After") ?? "";
  const wanted = /^\d+$/.test(told) ? Number(told) * 1000 : Date.parse(told) - Date.now();
  // Whoever says zero must not be asked without a pause, nor anybody wait for hours.
  if (!Number.isNaN(wanted)) return Math.min(Math.max(wanted, shortestPause), longestPause);
  // Clients that lost one process must not come back to the next one all at the same moment.
  return Math.min(250 * 2 ** attempt, 5000) * (0.5 + Math.random() / 2);
}

export function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/**
 * Reads may be repeated, and so may decisions and cancels, of which the same one again is answered 200. A create may have
 * taken effect although its answer was lost, so it is repeated only with its Idempotency-Key.
 */
export const mayRepeat = (request: Request): boolean =>
  request.method === "GET" ||
  request.method === "HEAD" ||
  request.headers.has("Idempotency-Key") ||
  /\/v2\/operations\/[^/]+\/(?:decision|cancel)$/.test(new URL(request.url).pathname);

/** A fetch that sends again what may be repeated: after a lost connection, and when the service says so. */
export function retrying(fetch: (request: Request) => Promise<Response>, attempts: number): (request: Request) => Promise<Response> {
  return async (request) => {
    const most = mayRepeat(request) ? attempts : 1;
    for (let attempt = 0; ; attempt++) {
      let answer: Response | undefined;
      try {
        answer = await fetch(new Request(request.clone(), { signal: AbortSignal.any([request.signal, AbortSignal.timeout(patience)]) }));
        if (!isTransient(answer.status) || attempt + 1 >= most) return answer;
        await answer.body?.cancel();
      } catch (error) {
        if (request.signal.aborted || attempt + 1 >= most) throw error;
      }
      await pause(pauseBefore(attempt, answer), request.signal);
    }
  };
}

/**
 * An attempt to pay, from the click until an answer comes.
 *
 * The key is made once and kept in session storage: a lost answer, a reload, a second click all ask about the same
 * attempt, so a recharge is paid once however often it is sent. Only an answer lets go of the key.
 */

export interface Attempt {
  key: string;
  contract: string;
  amount: string;
}

type Store = Pick<Storage, "getItem" | "setItem" | "removeItem">;

const place = (contract: string): string => `wattledger.recharge.${contract}`;

/** The attempt of this contract that still waits for its answer. */
export function pendingAttempt(store: Store, contract: string): Attempt | null {
  const kept = store.getItem(place(contract));
  if (kept === null) return null;
  try {
    const { key, amount } = JSON.parse(kept) as Partial<Attempt>;
    return typeof key === "string" && typeof amount === "string" ? { key, contract, amount } : null;
  } catch {
    return null;
  }
}

/** The attempt to send: the one that waits, if any (even for another amount: it has to be settled first), else new. */
export function beginAttempt(store: Store, contract: string, amount: string, newKey: () => string): Attempt {
  const waiting = pendingAttempt(store, contract);
  if (waiting !== null) return waiting;
  const attempt = { key: newKey(), contract, amount };
  store.setItem(place(contract), JSON.stringify(attempt));
  return attempt;
}

/** Lets go of the attempt, because an answer came or because its owner gave it up. A newer one is left alone. */
export function settleAttempt(store: Store, attempt: Attempt): void {
  if (pendingAttempt(store, attempt.contract)?.key === attempt.key) store.removeItem(place(attempt.contract));
}

/**
 * Whether a status settles the matter. No answer (0), a server's failure, "too many requests", "timed out" and
 * "a request with this key is under way" (409) do not: the recharge may have been, or may yet be, made.
 */
export function isAnswer(status: number): boolean {
  return status >= 200 && status < 500 && ![408, 409, 425, 429].includes(status);
}

/** 128 random bits. `crypto.randomUUID` is missing where a town is visited by plain HTTP in a local network. */
export function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

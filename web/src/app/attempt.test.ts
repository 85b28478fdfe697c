import { describe, expect, it } from "vitest";
import { beginAttempt, isAnswer, pendingAttempt, randomKey, settleAttempt } from "./attempt";

function memory(): Pick<Storage, "getItem" | "setItem" | "removeItem"> & { kept: Map<string, string> } {
  const kept = new Map<string, string>();
  return {
    kept,
    getItem: (name) => kept.get(name) ?? null,
    setItem: (name, value) => void kept.set(name, value),
    removeItem: (name) => void kept.delete(name),
  };
}

function keys(): () => string {
  let n = 0;
  return () => `key-${(n += 1)}`;
}

describe("an attempt to pay", () => {
  it("has one key from the click until the answer", () => {
    const store = memory();
    const newKey = keys();
    const first = beginAttempt(store, "con_1", "20.00", newKey);
    expect(beginAttempt(store, "con_1", "20.00", newKey)).toEqual(first);
    settleAttempt(store, first);
    expect(pendingAttempt(store, "con_1")).toBeNull();
    expect(beginAttempt(store, "con_1", "20.00", newKey).key).toBe("key-2");
  });

  it("survives a reload: another page over the same storage finds it", () => {
    const store = memory();
    const attempt = beginAttempt(store, "con_1", "20.00", keys());
    const reloaded = memory();
    for (const [name, value] of store.kept) reloaded.setItem(name, value);
    expect(pendingAttempt(reloaded, "con_1")).toEqual(attempt);
  });

  it("has to be settled before another amount gets a key", () => {
    const store = memory();
    const newKey = keys();
    const waiting = beginAttempt(store, "con_1", "20.00", newKey);
    expect(beginAttempt(store, "con_1", "50.00", newKey)).toEqual(waiting);
  });

  it("belongs to one contract", () => {
    const store = memory();
    const newKey = keys();
    beginAttempt(store, "con_1", "20.00", newKey);
    expect(pendingAttempt(store, "con_2")).toBeNull();
    expect(beginAttempt(store, "con_2", "20.00", newKey).key).toBe("key-2");
  });

  it("is not taken away by the late answer to an earlier one", () => {
    const store = memory();
    const newKey = keys();
    const earlier = beginAttempt(store, "con_1", "20.00", newKey);
    settleAttempt(store, earlier);
    const later = beginAttempt(store, "con_1", "20.00", newKey);
    settleAttempt(store, earlier);
    expect(pendingAttempt(store, "con_1")).toEqual(later);
  });

  it("is made anew when what was kept cannot be read", () => {
    const store = memory();
    beginAttempt(store, "con_1", "20.00", keys());
    for (const name of store.kept.keys()) store.setItem(name, "{");
    expect(pendingAttempt(store, "con_1")).toBeNull();
    expect(beginAttempt(store, "con_1", "20.00", () => "fresh").key).toBe("fresh");
  });
});

describe("an answer", () => {
  it.each([200, 201, 400, 404, 422])("%i settles the matter", (status) => {
    expect(isAnswer(status)).toBe(true);
  });

  it.each([0, 408, 409, 425, 429, 500, 502, 503, 504])("%i does not: it may have been paid", (status) => {
    expect(isAnswer(status)).toBe(false);
  });
});

describe("a key", () => {
  it("is 128 bits and never the same", () => {
    const made = Array.from({ length: 200 }, randomKey);
    expect(new Set(made).size).toBe(200);
    for (const key of made) expect(key).toMatch(/^[0-9a-f]{32}$/);
  });
});

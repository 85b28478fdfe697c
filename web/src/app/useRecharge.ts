import { useCallback, useEffect, useRef, useState } from "react";
import { api, outcome, type Failure, type RechargeView } from "../api/client";
import { beginAttempt, isAnswer, pendingAttempt, randomKey, settleAttempt, type Attempt } from "./attempt";

/** Where a recharge stands on this page. */
export type Phase =
  | { at: "form"; refusal: Failure | null }
  | { at: "sending"; attempt: Attempt; again: boolean }
  | { at: "unsure"; attempt: Attempt; failure: Failure | null }
  | { at: "result"; recharge: RechargeView };

const ANSWER_WITHIN_MS = 20_000;
const PAUSES_MS = [1_000, 3_000]; // between the first call and two more with the same key
const POLL_MS = 2_000;

/** Session storage, or a stand-in as lasting as the page where the browser refuses it. */
function openStore(): Pick<Storage, "getItem" | "setItem" | "removeItem"> {
  try {
    sessionStorage.getItem("");
    return sessionStorage;
  } catch {
    const kept = new Map<string, string>();
    return {
      getItem: (name) => kept.get(name) ?? null,
      setItem: (name, value) => void kept.set(name, value),
      removeItem: (name) => void kept.delete(name),
    };
  }
}

const store = openStore();

function firstPhase(contract: string): Phase {
  const attempt = pendingAttempt(store, contract);
  return attempt === null ? { at: "form", refusal: null } : { at: "unsure", attempt, failure: null };
}

const pause = (ms: number): Promise<void> => new Promise((resume) => setTimeout(resume, ms));

/** Sends recharges of one contract and follows the last one; `seen` is what the live page knows of it. */
export function useRecharge(contract: string, seen: RechargeView | null) {
  const [phase, setPhase] = useState(() => firstPhase(contract));
  const sending = useRef(false);

  const send = useCallback(
    async (attempt: Attempt) => {
      if (sending.current) return;
      sending.current = true;
      for (const [tried, wait] of [...PAUSES_MS, null].entries()) {
        setPhase({ at: "sending", attempt, again: tried > 0 });
        const came = await outcome(
          api.POST("/api/v1/contracts/{contract_id}/recharges", {
            params: { path: { contract_id: contract }, header: { "idempotency-key": attempt.key } },
            body: { amount: attempt.amount, method: "simulated" },
            signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
          }),
        );
        if ("data" in came) {
          settleAttempt(store, attempt);
          setPhase({ at: "result", recharge: came.data });
          break;
        }
        if (isAnswer(came.failure.status)) {
          settleAttempt(store, attempt);
          setPhase({ at: "form", refusal: came.failure });
          break;
        }
        if (wait === null) setPhase({ at: "unsure", attempt, failure: came.failure });
        else await pause(wait);
      }
      sending.current = false;
    },
    [contract],
  );

  const following = phase.at === "result" ? phase.recharge : null;
  const newest = following !== null && seen?.id === following.id ? furtherOf(following, seen) : following;
  // Asked for as well as listened for: the live page tells of the latest recharge only, and only while it is live.
  const polled = newest !== null && !newest.complete ? newest.id : null;
  useEffect(() => {
    if (polled === null) return undefined;
    const timer = setInterval(() => {
      const call = api.GET("/api/v1/recharges/{recharge_id}", { params: { path: { recharge_id: polled } } });
      void outcome(call).then((came) => {
        if (!("data" in came)) return;
        setPhase((was) =>
          was.at === "result" && was.recharge.id === polled
            ? { at: "result", recharge: furtherOf(was.recharge, came.data) }
            : was,
        );
      });
    }, POLL_MS);
    return () => {
      clearInterval(timer);
    };
  }, [polled]);

  return {
    phase: newest === null ? phase : ({ at: "result", recharge: newest } satisfies Phase),
    pay: (amount: string) => void send(beginAttempt(store, contract, amount, randomKey)),
    askAgain: (attempt: Attempt) => void send(attempt),
    startAfresh: (attempt: Attempt | null) => {
      if (attempt !== null) settleAttempt(store, attempt);
      setPhase({ at: "form", refusal: null });
    },
  };
}

/** Of two views of one recharge the one with more behind it: an answer may be older than an event. */
function furtherOf(one: RechargeView, other: RechargeView): RechargeView {
  const behind = (view: RechargeView): number => view.steps.filter((step) => step.state !== "pending").length;
  return behind(other) > behind(one) ? other : one;
}

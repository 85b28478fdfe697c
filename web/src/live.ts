/** A view that keeps itself current: fetched once for its figures or its error, then kept up by server-sent events. */

import { useCallback, useEffect, useState } from "react";
import type { Failure, Outcome } from "./api/client";

export type Link = "connecting" | "live" | "reconnecting";

export interface Live<T> {
  /** The newest figures; they stay, with their time, while the connection is away. */
  data: T | null;
  /** Why there are none, or why the last attempt to get newer ones failed. */
  failure: Failure | null;
  link: Link;
  /** `performance.now()` when `data` came. */
  receivedAt: number;
  retry: () => void;
}

export interface Source<T> {
  load: (signal: AbortSignal) => Promise<Outcome<T>>;
  stream: string;
  event: string;
}

const SILENCE_MS = 45_000; // longer than any pause of a healthy stream of a running clock; then we ask
const HIDDEN_MS = 30_000; // a page nobody looks at gives its connection back
const LONGEST_WAIT_MS = 15_000;

/** 4xx answers do not change by asking again. */
const isFinal = (failure: Failure): boolean => failure.status >= 400 && failure.status < 500 && failure.status !== 429;

interface Reports<T> {
  data: (data: T) => void;
  link: (link: Link) => void;
  failure: (failure: Failure | null) => void;
}

/** Opens `source` and reports until the returned function is called. */
export function follow<T>(source: Source<T>, report: Reports<T>): () => void {
  let stream: EventSource | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let hiddenTimer: ReturnType<typeof setTimeout> | undefined;
  let failures = 0;
  let abort = new AbortController();

  const rest = () => {
    clearTimeout(timer);
    abort.abort();
    stream?.close();
    stream = null;
  };
  const later = () => {
    rest();
    report.link("reconnecting");
    timer = setTimeout(open, Math.min(1000 * 2 ** failures, LONGEST_WAIT_MS));
    failures += 1;
  };
  const watch = () => {
    clearTimeout(timer);
    timer = setTimeout(open, SILENCE_MS);
  };
  const listen = () => {
    stream = new EventSource(source.stream);
    stream.onopen = () => {
      failures = 0;
      report.link("live");
      watch();
    };
    stream.onerror = later;
    stream.addEventListener(source.event, (event: MessageEvent<string>) => {
      report.data(JSON.parse(event.data) as T);
      watch();
    });
  };
  const open = () => {
    rest();
    abort = new AbortController();
    const { signal } = abort;
    void source.load(signal).then((outcome) => {
      if (signal.aborted) return;
      if ("data" in outcome) {
        report.failure(null);
        report.data(outcome.data);
        listen();
        return;
      }
      report.failure(outcome.failure);
      if (!isFinal(outcome.failure)) later();
    });
  };
  const onVisibility = () => {
    clearTimeout(hiddenTimer);
    if (document.hidden) hiddenTimer = setTimeout(rest, HIDDEN_MS);
    else if (stream === null) open();
  };

  document.addEventListener("visibilitychange", onVisibility);
  addEventListener("online", open);
  addEventListener("offline", later);
  open();
  return () => {
    rest();
    clearTimeout(hiddenTimer);
    document.removeEventListener("visibilitychange", onVisibility);
    removeEventListener("online", open);
    removeEventListener("offline", later);
  };
}

/** `source` has to be stable (memoised): a new one starts afresh. */
export function useLive<T>(source: Source<T>): Live<T> {
  const [round, setRound] = useState(0);
  const [state, setState] = useState<Omit<Live<T>, "retry"> & { source: Source<T> }>(() => blank(source));
  const current = state.source === source ? state : blank(source);

  useEffect(() => {
    const change = (part: Partial<Live<T>>) => {
      setState((was) => ({ ...(was.source === source ? was : blank(source)), ...part }));
    };
    return follow(source, {
      data: (data) => {
        change({ data, receivedAt: performance.now() });
      },
      link: (link) => {
        change({ link });
      },
      failure: (failure) => {
        change({ failure });
      },
    });
  }, [source, round]);

  const retry = useCallback(() => {
    setRound((n) => n + 1);
  }, []);
  return { ...current, retry };
}

function blank<T>(source: Source<T>): Omit<Live<T>, "retry"> & { source: Source<T> } {
  return { source, data: null, failure: null, link: "connecting", receivedAt: 0 };
}

/**
 * The town's clock between two reports: its last known time plus the time since, at the town's speed. Stands still
 * while the connection is away, so that no page pretends to know later figures than it has.
 */
export function useTownClock(
  view: { now: string; clock_speed: number } | null,
  receivedAt: number,
  link: Link,
): number {
  const [beat, setBeat] = useState(0);
  const ticking = link === "live" && view !== null;
  useEffect(() => {
    if (!ticking) return undefined;
    const timer = setInterval(() => {
      setBeat(performance.now());
    }, 1000);
    return () => {
      clearInterval(timer);
    };
  }, [ticking]);
  if (view === null) return 0;
  const since = ticking ? Math.max(0, beat - receivedAt) : 0;
  return Date.parse(view.now) + since * view.clock_speed;
}

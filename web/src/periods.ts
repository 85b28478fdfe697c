/** Price periods as a page draws them: what to call them, how dear they are, and where they lie in time. */

import type { IntervalView, PriceSpan, TodayView } from "./api/client";

export type Level = "low" | "mid" | "high";

const KNOWN: Record<string, Level> = {
  offpeak: "low",
  low: "low",
  night: "low",
  valley: "low",
  deepvalley: "low",
  superoffpeak: "low",
  shoulder: "mid",
  midpeak: "mid",
  flat: "mid",
  normal: "mid",
  standard: "mid",
  day: "mid",
  all: "mid",
  any: "mid",
  anytime: "mid",
  default: "mid",
  peak: "high",
  onpeak: "high",
  high: "high",
  critical: "high",
  criticalpeak: "high",
  sharp: "high",
};

/** A tariff's name of a period without its spelling: "Off-Peak" and "off_peak" are one. */
export const plain = (period: string): string => period.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "");

export function periodName(period: string, names: Record<string, string>): string {
  return names[plain(period)] ?? period;
}

/**
 * How dear each period looks: by its name where the name says it, else by its price among the others. Display only.
 */
export function levels(spans: readonly { period: string; price: string }[]): Map<string, Level> {
  const price = new Map(spans.map((span) => [span.period, Number(span.price)]));
  const ranked = [...new Set(price.values())].sort((a, b) => a - b);
  const byRank = (period: string): Level => {
    const rank = ranked.indexOf(price.get(period) ?? Number.NaN);
    if (rank < 0 || ranked.length === 1) return "mid";
    return rank === 0 ? "low" : rank === ranked.length - 1 ? "high" : "mid";
  };
  return new Map([...price.keys()].map((period) => [period, KNOWN[plain(period)] ?? byRank(period)]));
}

export function levelOf(period: string, known: ReadonlyMap<string, Level>): Level {
  return known.get(period) ?? KNOWN[plain(period)] ?? "mid";
}

/** One block of the price strip: where it lies (0..1 of the window) and how high it stands (0..1 of the dearest). */
export interface Block {
  period: string;
  price: string;
  start: number;
  end: number;
  from: number;
  width: number;
  height: number;
  /** Whether there is room to write the time at which it begins: on every screen, on wide ones only, or nowhere. */
  label: "always" | "wide" | "never";
}

/** The share of the strip's width that one written time takes, by the width of the screen. */
const LABEL_ROOM = { wide: 0.045, always: 0.12 } as const;

/** The strip from `now` for `hours`: clipped to the window, neighbours of one period and price made one. */
export function priceStrip(prices: readonly PriceSpan[], now: number, hours = 24): Block[] {
  const length = hours * 3_600_000;
  const dearest = Math.max(...prices.map((span) => Number(span.price)), 0);
  const blocks: Block[] = [];
  for (const span of prices) {
    const start = Math.max(Date.parse(span.start), now);
    const end = Math.min(Date.parse(span.end), now + length);
    if (end <= start) continue;
    const last = blocks.at(-1);
    if (last?.period === span.period && last.price === span.price && last.end === start) {
      last.end = end;
      last.width = (end - now) / length - last.from;
      continue;
    }
    const price = Math.max(Number(span.price), 0);
    blocks.push({
      period: span.period,
      price: span.price,
      start,
      end,
      from: (start - now) / length,
      width: (end - start) / length,
      height: dearest > 0 ? price / dearest : 1,
      label: "never",
    });
  }
  giveLabels(blocks, "wide");
  giveLabels(
    blocks.filter((block) => block.label === "wide"),
    "always",
  );
  return blocks;
}

function giveLabels(blocks: readonly Block[], label: "wide" | "always"): void {
  const room = LABEL_ROOM[label];
  let free = 0;
  for (const block of blocks) {
    if (block.from < free || block.from > 1 - room) continue;
    block.label = label;
    free = block.from + room;
  }
}

/** The cheapest block when there is a choice, for the one sentence above the strip. */
export function cheapest(blocks: readonly Block[]): Block | null {
  const prices = new Set(blocks.map((block) => Number(block.price)));
  if (prices.size < 2) return null;
  const least = Math.min(...prices);
  return blocks.find((block) => Number(block.price) === least) ?? null;
}

/** One slot of today's chart. `use` is null ahead of the newest reading and where one is missing. */
export interface Slot {
  start: number;
  period: string | null;
  kwh: string | null;
  quality: IntervalView["quality"] | "ahead";
}

const WAITING_MS = 3_600_000;

/**
 * Today's intervals without those at the end that are missing only because they are so new: a reading takes a while
 * to arrive, and what is on its way is not a gap.
 */
export function arrivedOrLate(intervals: readonly IntervalView[], now: number): IntervalView[] {
  const last = intervals.findLastIndex(
    ({ start, quality }) => quality !== "missing" || Date.parse(start) < now - WAITING_MS,
  );
  return intervals.slice(0, last + 1);
}

/** Every slot of the day, 23, 24 or 25 hours of it: measured ones as they are, those to come with their price period. */
export function daySlots(today: TodayView, prices: readonly PriceSpan[], now: number): Slot[] {
  const step = today.interval_seconds * 1000;
  const end = Date.parse(today.end);
  const known = new Map(today.intervals.map((interval) => [Date.parse(interval.start), interval]));
  const spans = prices.map((span) => ({ ...span, from: Date.parse(span.start), to: Date.parse(span.end) }));
  const newest = arrivedOrLate(today.intervals, now).at(-1);
  const upTo = newest === undefined ? -Infinity : Date.parse(newest.start);
  const slots: Slot[] = [];
  for (let start = Date.parse(today.start); start < end; start += step) {
    const interval = known.get(start);
    if (interval !== undefined && start <= upTo) {
      slots.push({ start, period: interval.period, kwh: interval.kwh, quality: interval.quality });
      continue;
    }
    const span = spans.find((one) => one.from < start + step && start < one.to);
    slots.push({ start, period: interval?.period ?? span?.period ?? null, kwh: null, quality: "ahead" });
  }
  return slots;
}

/** Runs of slots with one period, as [first, last] indices: the shading behind a chart. */
export function bands(slots: readonly Slot[]): { period: string; first: number; last: number }[] {
  const found: { period: string; first: number; last: number }[] = [];
  slots.forEach(({ period }, index) => {
    const open = found.at(-1);
    if (period === null) return;
    if (open?.period === period && open.last === index - 1) open.last = index;
    else found.push({ period, first: index, last: index });
  });
  return found;
}

import { describe, expect, it } from "vitest";
import type { PriceSpan, TodayView } from "./api/client";
import { arrivedOrLate, bands, cheapest, daySlots, levelOf, levels, periodName, priceStrip } from "./periods";

const HOUR = 3_600_000;
const noon = Date.parse("2026-03-31T04:00:00Z"); // 12:00 in Shanghai
const at = (hours: number): string => new Date(noon + hours * HOUR).toISOString();
const span = (from: number, to: number, period: string, price: string): PriceSpan => ({
  start: at(from),
  end: at(to),
  period,
  price,
});

const prices = [
  span(-1, 6, "shoulder", "0.5583"),
  span(6, 9, "peak", "0.8283"),
  span(9, 11, "shoulder", "0.5583"),
  span(11, 30, "off-peak", "0.3583"),
];

describe("the price strip", () => {
  it("covers its window exactly, from now on", () => {
    const blocks = priceStrip(prices, noon);
    expect(blocks.map((block) => block.period)).toEqual(["shoulder", "peak", "shoulder", "off-peak"]);
    expect(blocks[0]?.from).toBe(0);
    expect(blocks.reduce((sum, block) => sum + block.width, 0)).toBeCloseTo(1, 12);
    blocks.slice(1).forEach((block, index) => {
      expect(block.start).toBe(blocks[index]?.end);
    });
  });

  it("stands as high as it costs", () => {
    const heights = priceStrip(prices, noon).map((block) => block.height);
    expect(heights[1]).toBe(1);
    expect(heights[3]).toBeCloseTo(0.3583 / 0.8283, 12);
  });

  it("makes one of neighbours with one period and price, and keeps others apart", () => {
    const blocks = priceStrip([span(0, 2, "day", "0.5"), span(2, 4, "day", "0.5"), span(4, 6, "day", "0.6")], noon);
    expect(blocks.map(({ start, end }) => [(start - noon) / HOUR, (end - noon) / HOUR])).toEqual([
      [0, 4],
      [4, 6],
    ]);
    expect(blocks[0]?.width).toBeCloseTo(4 / 24, 12);
  });

  it("writes no two times over each other", () => {
    const crowded = priceStrip([span(0, 1, "a", "1"), span(1, 2, "b", "2"), span(2, 24, "c", "3")], noon);
    expect(crowded.map((block) => block.label)).toEqual(["always", "never", "wide"]);
  });

  it("is empty without prices", () => {
    expect(priceStrip([], noon)).toEqual([]);
    expect(cheapest([])).toBeNull();
  });

  it("names the cheapest block only where there is a choice", () => {
    expect(cheapest(priceStrip(prices, noon))?.period).toBe("off-peak");
    expect(cheapest(priceStrip([span(0, 24, "flat", "0.5")], noon))).toBeNull();
  });
});

describe("levels", () => {
  it("follow a period's name where it says how dear it is, however it is spelt", () => {
    const known = levels([...prices, span(0, 1, "Off_Peak", "0.1")]);
    expect(levelOf("peak", known)).toBe("high");
    expect(levelOf("Off_Peak", known)).toBe("low");
  });

  it("follow the price where the name says nothing", () => {
    const known = levels([span(0, 1, "A", "0.1"), span(1, 2, "B", "0.2"), span(2, 3, "C", "0.3")]);
    expect(["A", "B", "C"].map((period) => levelOf(period, known))).toEqual(["low", "mid", "high"]);
    expect(levelOf("only", levels([span(0, 1, "only", "0.1")]))).toBe("mid");
  });

  it("have names in the reader's language, or the tariff's own", () => {
    expect(periodName("OFF PEAK", { offpeak: "低谷" })).toBe("低谷");
    expect(periodName("Tempo rouge", {})).toBe("Tempo rouge");
  });
});

describe("a day's slots", () => {
  const today = (start: string, end: string, intervals: TodayView["intervals"]): TodayView => ({
    start,
    end,
    kwh: "0",
    cost: "0",
    fixed: "0",
    by_period: [],
    interval_seconds: 3600,
    intervals,
  });

  it("are as many as the day is long, summer time or not", () => {
    const spring = today("2026-03-29T00:00:00Z", "2026-03-29T23:00:00Z", []);
    const autumn = today("2026-10-24T23:00:00Z", "2026-10-26T00:00:00Z", []);
    expect(daySlots(spring, [], noon)).toHaveLength(23);
    expect(daySlots(autumn, [], noon)).toHaveLength(25);
  });

  it("tell the measured, the missing, those on their way and the hours ahead apart", () => {
    const slots = daySlots(
      today(at(-3), at(1), [
        { start: at(-3), kwh: "0.4", period: "peak", quality: "estimated" },
        { start: at(-2), kwh: null, period: "peak", quality: "missing" },
        { start: at(-1), kwh: null, period: "peak", quality: "missing" },
      ]),
      prices,
      noon,
    );
    expect(slots.map(({ quality, kwh, period }) => [quality, kwh, period])).toEqual([
      ["estimated", "0.4", "peak"],
      ["missing", null, "peak"],
      ["ahead", null, "peak"],
      ["ahead", null, "shoulder"],
    ]);
  });

  it("do not call missing what is only on its way", () => {
    const missing = (hours: number) => ({ start: at(hours), kwh: null, period: "peak", quality: "missing" as const });
    const known = { start: at(-3), kwh: "0.4", period: "peak", quality: "actual" as const };
    expect(arrivedOrLate([missing(-4), known, missing(-0.5), missing(-0.25)], noon)).toEqual([missing(-4), known]);
    expect(arrivedOrLate([known, missing(-2), missing(-0.25)], noon)).toEqual([known, missing(-2)]);
    expect(arrivedOrLate([missing(-0.25)], noon)).toEqual([]);
  });

  it("are shaded in runs of one period", () => {
    const slot = (period: string | null) => ({ start: 0, period, kwh: null, quality: "ahead" as const });
    expect(bands([slot("a"), slot("a"), slot(null), slot("a"), slot("b")])).toEqual([
      { period: "a", first: 0, last: 1 },
      { period: "a", first: 3, last: 3 },
      { period: "b", first: 4, last: 4 },
    ]);
  });
});

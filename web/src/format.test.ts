import { describe, expect, it } from "vitest";
import { decimalsOf, formats, localeOf, readAmount } from "./format";

const en = formats("en-GB");
const zh = formats("zh-CN");

describe("money", () => {
  it("is shown to the cent in the reader's way", () => {
    expect(en.money("1234.5", "CNY")).toBe("¥1,234.50");
    expect(zh.money("1234.5", "CNY")).toBe("¥1,234.50");
    expect(formats("de-DE").money("1234.5", "EUR")).toBe("1.234,50\u00a0€");
  });

  it("keeps every digit of amounts that no double can hold", () => {
    expect(en.money("90071992547409931.07", "CNY")).toBe("¥90,071,992,547,409,931.07");
  });

  it("rounds the decimal that was written, not its nearest double", () => {
    expect(en.money("1.005", "CNY")).toBe("¥1.01"); // as a double it is a little less and would give 1.00
  });

  it("never shows a negative zero", () => {
    expect(en.money("-0.001", "CNY")).toBe("¥0.00");
    expect(en.money("-0.35", "CNY")).toBe("-¥0.35");
  });

  it("knows how many decimals a currency has", () => {
    expect(decimalsOf("CNY")).toBe(2);
    expect(decimalsOf("JPY")).toBe(0);
    expect(en.money("1200", "JPY")).toBe("¥1,200");
  });

  it("comes in parts that make up the whole", () => {
    const parts = en.moneyParts("-1234.5", "CNY");
    expect(parts.map((part) => part.text).join("")).toBe("-¥1,234.50");
    expect(parts.filter((part) => part.kind === "whole").map((part) => part.text)).toEqual(["1", ",", "234"]);
  });

  it("leaves out cents that are none where an amount is a choice", () => {
    expect(en.roundMoney("1425", "CNY")).toBe("¥1,425");
    expect(en.roundMoney("50.00", "CNY")).toBe("¥50");
    expect(en.roundMoney("50.05", "CNY")).toBe("¥50.05");
  });

  it("shows what it cannot read as it came", () => {
    expect(en.money("n/a", "CNY")).toBe("n/a");
  });
});

describe("prices", () => {
  it("keep the digits below the cent", () => {
    expect(en.price("0.8283", "CNY")).toBe("¥0.8283");
    expect(en.price("0.12", "GBP")).toBe("£0.12");
  });
});

describe("times", () => {
  it("are told in the site's zone, not the reader's", () => {
    expect(en.townTime("2026-03-31T10:45:00Z", "Asia/Shanghai")).toBe("Tue 31 Mar 18:45");
    expect(zh.time("2026-03-31T16:00:00Z", "Asia/Shanghai")).toBe("00:00");
  });

  it("know that a month of a bill is a calendar month", () => {
    expect(en.month("2026-02")).toBe("February 2026");
    expect(zh.month("2026-02")).toBe("2026年2月");
  });

  it("tell an age in whole units", () => {
    expect(en.age(12 * 60 + 40)).toBe("12 min ago");
    expect(en.age(5 * 3600)).toBe("5 hr ago");
  });
});

describe("an amount typed by a person", () => {
  it.each([
    ["20", "20.00"],
    ["20.5", "20.50"],
    ["20,5", "20.50"],
    [" ¥ 1 200 ", "1200.00"],
    ["1,200.50", "1200.50"],
    ["1,200", "1200.00"],
    ["0020", "20.00"],
    ["２０", "20.00"],
  ])("%s is %s", (typed, amount) => {
    expect(readAmount(typed, 2)).toEqual({ amount });
  });

  it.each([
    ["", "invalid"],
    ["twenty", "invalid"],
    ["-5", "invalid"],
    ["1e3", "invalid"],
    ["1.2.3", "invalid"],
    ["0", "positive"],
    ["0.00", "positive"],
    ["1.234", "decimals"],
  ])("%s is refused as %s", (typed, fault) => {
    expect(readAmount(typed, 2)).toEqual({ fault });
  });

  it("has no decimals where the currency has none", () => {
    expect(readAmount("500", 0)).toEqual({ amount: "500" });
    expect(readAmount("500.5", 0)).toEqual({ fault: "decimals" });
  });
});

describe("the locale", () => {
  it("is the reader's own kind of the chosen language, else ours", () => {
    expect(localeOf("en", ["zh-CN", "en-US"])).toBe("en-US");
    expect(localeOf("zh", ["en-US"])).toBe("zh-CN");
    expect(localeOf("en", ["en"])).toBe("en-GB");
  });
});

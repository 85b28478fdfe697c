/**
 * Amounts, quantities and times as a reader of one language sees them.
 *
 * Amounts come as decimal strings and go to `Intl` as strings, which formats them exactly; nothing here adds up.
 */

export type Language = "en" | "zh";

/** The reader's own kind of the language (en-US, zh-TW ...) if the browser names one, for dates and separators. */
export function localeOf(language: Language, wished: readonly string[]): string {
  const own = wished.find((tag) => tag.toLowerCase().split("-")[0] === language && tag.includes("-"));
  return own ?? { en: "en-GB", zh: "zh-CN" }[language];
}

/** A part of an amount: so that a page can set the currency and the cents smaller than the figure that matters. */
export interface AmountPart {
  kind: "symbol" | "whole" | "fraction";
  text: string;
}

export interface Formats {
  money(amount: string, currency: string): string;
  moneyParts(amount: string, currency: string): AmountPart[];
  /** Without cents where there are none: for choices, not for sums. */
  roundMoney(amount: string, currency: string): string;
  price(amount: string, currency: string): string;
  count(n: number): string;
  quantity(value: string, unit: "kWh" | "kW"): string;
  percent(ratio: number): string;
  time(at: Instant, zone: string): string;
  day(at: Instant, zone: string): string;
  dayTime(at: Instant, zone: string): string;
  townTime(at: Instant, zone: string): string;
  month(yearMonth: string): string;
  age(seconds: number): string;
}

export type Instant = string | number;

type Decimal = Intl.StringNumericLiteral;

const WHOLE = /^-?\d+(\.\d+)?$/;

/** Lets a decimal string through to Intl; anything else is a broken contract with the API and is shown as it came. */
function isDecimal(text: string): text is Decimal {
  return WHOLE.test(text);
}

const cache = new Map<string, Formats>();

export function formats(locale: string): Formats {
  const known = cache.get(locale);
  if (known !== undefined) return known;
  const made = make(locale);
  cache.set(locale, made);
  return made;
}

function make(locale: string): Formats {
  const numbers = new Map<string, Intl.NumberFormat>();
  const dates = new Map<string, Intl.DateTimeFormat>();
  const relative = new Intl.RelativeTimeFormat(locale, { numeric: "auto", style: "short" });

  const number = (options: Intl.NumberFormatOptions): Intl.NumberFormat => {
    const key = JSON.stringify(options);
    const made = numbers.get(key) ?? new Intl.NumberFormat(locale, options);
    numbers.set(key, made);
    return made;
  };
  const date = (options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat => {
    const key = JSON.stringify(options);
    const made = dates.get(key) ?? new Intl.DateTimeFormat(locale, { hourCycle: "h23", ...options });
    dates.set(key, made);
    return made;
  };
  // "negative": a balance of minus a tenth of a cent is not shown as "-0.00".
  const money = (currency: string): Intl.NumberFormat =>
    number({ style: "currency", currency, currencyDisplay: "narrowSymbol", signDisplay: "negative" });
  const price = (currency: string): Intl.NumberFormat =>
    number({
      style: "currency",
      currency,
      currencyDisplay: "narrowSymbol",
      minimumFractionDigits: 2,
      maximumFractionDigits: 5,
    });

  const formats: Formats = {
    money: (amount, currency) => (isDecimal(amount) ? money(currency).format(amount) : amount),
    moneyParts: (amount, currency) => {
      if (!isDecimal(amount)) return [{ kind: "whole", text: amount }];
      return money(currency)
        .formatToParts(amount)
        .map(({ type, value }) => ({
          kind:
            type === "currency" || type === "literal" || type === "minusSign"
              ? "symbol"
              : type === "decimal" || type === "fraction"
                ? "fraction"
                : "whole",
          text: value,
        }));
    },
    roundMoney: (amount, currency) => {
      const { amount: whole } = /^(?<amount>-?\d+)(\.0*)?$/.exec(amount)?.groups ?? {};
      if (whole === undefined || !isDecimal(whole)) return formats.money(amount, currency);
      return number({
        style: "currency",
        currency,
        currencyDisplay: "narrowSymbol",
        maximumFractionDigits: 0,
      }).format(whole);
    },
    price: (amount, currency) => (isDecimal(amount) ? price(currency).format(amount) : amount),
    count: (n) => number({}).format(n),
    quantity: (value, unit) =>
      `${isDecimal(value) ? number({ minimumFractionDigits: 2, maximumFractionDigits: 2 }).format(value) : value} ${unit}`,
    percent: (ratio) =>
      number({ style: "percent", maximumFractionDigits: ratio > 0.995 && ratio < 1 ? 1 : 0 }).format(ratio),
    time: (at, timeZone) => date({ timeZone, hour: "2-digit", minute: "2-digit" }).format(instant(at)),
    day: (at, timeZone) => date({ timeZone, day: "numeric", month: "short" }).format(instant(at)),
    dayTime: (at, timeZone) => `${formats.day(at, timeZone)} ${formats.time(at, timeZone)}`,
    townTime: (at, timeZone) =>
      `${date({ timeZone, weekday: "short" }).format(instant(at))} ${formats.day(at, timeZone)} ${formats.time(at, timeZone)}`,
    month: (yearMonth) =>
      date({ timeZone: "UTC", year: "numeric", month: "long" }).format(Date.parse(`${yearMonth}-01T00:00:00Z`)),
    age: (seconds) => {
      if (seconds < 60) return relative.format(0, "minute");
      if (seconds < 90 * 60) return relative.format(-Math.floor(seconds / 60), "minute");
      if (seconds < 36 * 3600) return relative.format(-Math.floor(seconds / 3600), "hour");
      return relative.format(-Math.floor(seconds / 86400), "day");
    },
  };
  return formats;
}

function instant(at: Instant): number {
  return typeof at === "number" ? at : Date.parse(at);
}

/** How many decimals a currency has: 2 for CNY, 0 for JPY. */
export function decimalsOf(currency: string): number {
  return new Intl.NumberFormat("en", { style: "currency", currency }).resolvedOptions().maximumFractionDigits ?? 2;
}

export type AmountFault = "invalid" | "positive" | "decimals";

/**
 * What a person typed as an amount ("20", "20,5", "¥ 1 200.00") as a decimal string for the API, or why it is none.
 *
 * A single comma before one or two last digits is a decimal comma; other commas and spaces group thousands.
 */
export function readAmount(typed: string, decimals: number): { amount: string } | { fault: AmountFault } {
  const bare = typed.normalize("NFKC").replace(/[\s'\p{Sc}]/gu, "");
  const text = /^\d+,\d{1,2}$/.test(bare) ? bare.replace(",", ".") : bare;
  if (!/^(\d+|\d{1,3}(,\d{3})+)(\.\d+)?$/.test(text)) return { fault: "invalid" };
  const [whole = "", fraction = ""] = text.replaceAll(",", "").split(".");
  if (fraction.length > decimals) return { fault: "decimals" };
  if (/^0*$/.test(whole + fraction)) return { fault: "positive" };
  const trimmed = whole.replace(/^0+(?=\d)/, "");
  return { amount: decimals === 0 ? trimmed : `${trimmed}.${fraction.padEnd(decimals, "0")}` };
}

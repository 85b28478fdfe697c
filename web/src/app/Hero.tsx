import { useId } from "react";
import type { BalanceView, BillSoFar, HomeView, SupplyView, TodayView } from "../api/client";
import { Link } from "../router";
import { Icon } from "../ui/Icon";
import { BigAmount } from "../ui/Parts";
import { useSpeech } from "../words";
import classes from "./Hero.module.css";

/** The one figure that matters: what is left, or what is owed so far; and whether the light is on. */
export function Hero({ home }: { home: HomeView }) {
  const { words, show } = useSpeech();
  const id = useId();
  const { balance, bill_so_far: bill, supply } = home;
  const figure = balance?.available ?? bill?.amount;
  return (
    <section
      aria-labelledby={id}
      className={`${classes.hero ?? ""} ${classes.place ?? ""}`}
      data-tone={supply.state === "off" ? "off" : "on"}
    >
      <div className={classes.top}>
        <h2 id={id}>{balance !== null ? words.home.balance : words.home.billSoFar}</h2>
        <Supply supply={supply} zone={home.zone} />
      </div>
      <div>
        {figure !== undefined && (
          <p className={classes.figure}>
            <BigAmount amount={figure} currency={home.contract.currency} />
          </p>
        )}
        {balance !== null && <Lasting balance={balance} />}
        {bill !== null && <Heading bill={bill} zone={home.zone} currency={home.contract.currency} />}
      </div>
      {supply.state === "on" && supply.cut_off_at !== null && (
        <p className={classes.why}>
          <strong>
            <Icon name="warning" size={18} /> {words.supply.announced(show.dayTime(supply.cut_off_at, home.zone))}
          </strong>
          <span>{words.supply.announcedTodo}</span>
        </p>
      )}
      {supply.state !== "on" && <Why supply={supply} prepaid={balance !== null} />}
      {balance !== null && (
        <Link href={`/app/${encodeURIComponent(home.contract.id)}/recharge`} className={classes.recharge}>
          <Icon name="bolt" size={20} />
          {words.home.recharge}
        </Link>
      )}
      {balance !== null && <How balance={balance} zone={home.zone} />}
      <LoadLine today={home.today} />
    </section>
  );
}

function Supply({ supply, zone }: { supply: SupplyView; zone: string }) {
  const { words, show } = useSpeech();
  const icon = supply.state === "on" ? "plug" : supply.state === "off" ? "plugOff" : "switching";
  return (
    <span className={classes.supply} data-state={supply.state} role="status" data-testid="supply">
      <Icon name={icon} size={18} />
      {words.supply[supply.state]}
      {supply.state === "off" && supply.since !== null && ` ${words.supply.since(show.dayTime(supply.since, zone))}`}
    </span>
  );
}

function Lasting({ balance }: { balance: BalanceView }) {
  const { words, show } = useSpeech();
  const { state, days_left: days, low_threshold: low, currency } = balance;
  return (
    <p className={classes.says}>
      {state !== "empty" && <span>{days === null ? words.home.noHistory : words.home.daysLeft(days)}</span>}
      <span className={classes.tag} data-state={state}>
        <Icon name={state === "ok" ? "check" : "warning"} size={16} />
        {words.home.states[state]}
      </span>
      {state === "ok" && <small>{words.home.lowBelow(show.money(low, currency))}</small>}
    </p>
  );
}

function Heading({ bill, zone, currency }: { bill: BillSoFar; zone: string; currency: string }) {
  const { words, show } = useSpeech();
  const last = show.day(Date.parse(bill.cycle_end) - 1, zone); // the cycle ends before this instant
  return (
    <>
      <p className={classes.says}>
        {bill.forecast === null
          ? words.home.noForecast(last)
          : words.home.forecast(show.money(bill.forecast, currency), last)}
      </p>
      <p className={classes.how}>{words.home.cycle(show.day(bill.cycle_start, zone), last)}</p>
    </>
  );
}

/** Why the supply is not simply on, and what its owner can do. */
function Why({ supply, prepaid }: { supply: SupplyView; prepaid: boolean }) {
  const { words } = useSpeech();
  const { reason, state } = supply;
  const money = prepaid && (reason === "balance_exhausted" || reason === null);
  const todo =
    state === "off"
      ? money
        ? words.supply.todo.off
        : words.supply.todo.offOther
      : state === "disconnecting"
        ? money
          ? words.supply.todo.disconnecting
          : words.supply.todo.disconnectingOther
        : words.supply.todo.reconnecting;
  return (
    <p className={classes.why}>
      {reason !== null && (
        <strong>{words.supply.reasons[reason] ?? words.supply.otherReason(reason.replaceAll("_", " "))}</strong>
      )}
      <span>{todo}</span>
    </p>
  );
}

function How({ balance, zone }: { balance: BalanceView; zone: string }) {
  const { words, show } = useSpeech();
  const money = (amount: string): string => show.money(amount, balance.currency);
  return (
    <details className={classes.how}>
      <summary>{words.home.how}</summary>
      <dl className={classes.sum}>
        <dt>{words.home.ledger}</dt>
        <dd>{money(balance.ledger_balance)}</dd>
        <dt>{words.home.accrued}</dt>
        <dd>− {money(balance.accrued)}</dd>
        <dt className={classes.total}>{words.home.available}</dt>
        <dd className={classes.total}>{money(balance.available)}</dd>
      </dl>
      <p>{words.home.asOf(show.dayTime(balance.as_of, zone))}</p>
    </details>
  );
}

/** Today's load as a line that grows across the card with the day. A picture of what the chart below says in full. */
function LoadLine({ today }: { today: TodayView }) {
  const from = Date.parse(today.start);
  const length = Date.parse(today.end) - from;
  const points = today.intervals.flatMap(({ start, kwh }) =>
    kwh === null ? [] : [{ x: (Date.parse(start) + today.interval_seconds * 500 - from) / length, y: Number(kwh) }],
  );
  const last = points.at(-1);
  const first = points[0];
  if (first === undefined || last === undefined || points.length < 2) return null;
  const most = Math.max(...points.map((point) => point.y), 0.001);
  const at = (y: number): number => 92 - (y / most) * 78;
  const line = points
    .map(({ x, y }, index) => `${index === 0 ? "M" : "L"}${(x * 1000).toFixed(1)} ${at(y).toFixed(1)}`)
    .join("");
  return (
    <div className={classes.line} aria-hidden="true">
      <svg viewBox="0 0 1000 100" preserveAspectRatio="none">
        <defs>
          <linearGradient id="load" x1="0" x2="0" y1="0" y2="1">
            <stop offset="0" stopColor="#f5b81c" stopOpacity="0.34" />
            <stop offset="1" stopColor="#f5b81c" stopOpacity="0" />
          </linearGradient>
        </defs>
        <path
          className={classes.under}
          d={`${line}L${(last.x * 1000).toFixed(1)} 100L${(first.x * 1000).toFixed(1)} 100Z`}
        />
        <path d={line} />
      </svg>
      <span className={classes.head} style={{ left: `${last.x * 100}%`, top: `${at(last.y)}%` }} />
    </div>
  );
}

import type { HomeView, TodayView } from "../api/client";
import { levelOf, periodName, type Level } from "../periods";
import { Card, Disclosure, Empty, PeriodChip } from "../ui/Parts";
import { useSpeech } from "../words";
import classes from "./NowCard.module.css";

/** Power, cost per hour, the price in force and when it changes, and how old all this is. */
export function NowCard({ home, known, clock }: { home: HomeView; known: ReadonlyMap<string, Level>; clock: number }) {
  const { words, show } = useSpeech();
  const { use_now: use, price, zone } = home;
  const { currency } = home.contract;
  const end = use === null ? 0 : Date.parse(use.interval_start) + use.interval_seconds * 1000;
  const age = use === null ? 0 : use.age_seconds + (clock - Date.parse(home.now)) / 1000;
  const highest = highestToday(home.today);
  return (
    <Card title={words.now.title} aside={use !== null && show.age(Math.max(0, age))} className={classes.place}>
      <div className={classes.now}>
        {use === null ? (
          <Empty title={words.now.noReading}>{words.now.noReadingLead}</Empty>
        ) : (
          <div>
            <p className={classes.figures}>
              <span className={classes.kw}>
                {show.quantity(use.kw, "kW").replace(" kW", "")} <small>kW</small>
              </span>
              <span className={classes.cost}>{words.now.perHour(show.money(use.cost_per_hour, currency))}</span>
            </p>
            <p className={classes.dim}>
              {words.now.reading(show.time(use.interval_start, zone), show.time(end, zone))}
            </p>
          </div>
        )}
        {highest !== null && use !== null && (
          <div className={classes.day}>
            <div className={classes.track} aria-hidden="true">
              <div style={{ width: `${Math.min(1, Number(use.kw) / Math.max(highest.kw, 0.001)) * 100}%` }} />
            </div>
            <p className={classes.dim}>
              {words.now.highest(show.quantity(String(highest.kw), "kW"), show.time(highest.start, zone))}
            </p>
          </div>
        )}
        <div className={classes.price}>
          <p className={classes.row}>
            <PeriodChip name={periodName(price.period, words.periods)} level={levelOf(price.period, known)} />
            <strong>{words.now.perKwh(show.price(price.price, currency))}</strong>
          </p>
          <p className={classes.dim}>
            {price.changes_at === null
              ? words.now.noChange
              : price.next_period === null || price.next_price === null
                ? words.now.changes(show.time(price.changes_at, zone))
                : words.now.changesTo(
                    show.time(price.changes_at, zone),
                    periodName(price.next_period, words.periods),
                    show.price(price.next_price, currency),
                  )}
          </p>
        </div>
        {use !== null && (
          <Disclosure label={words.home.how}>
            <p className={classes.dim}>
              {words.now.howHour(
                show.quantity(use.kw, "kW"),
                words.now.perKwh(show.price(price.price, currency)),
                show.price(use.cost_per_hour, currency),
              )}
            </p>
          </Disclosure>
        )}
      </div>
    </Card>
  );
}

/** Today's interval of most power, to see what is running now against; for the eye only. */
function highestToday({ intervals, interval_seconds: seconds }: TodayView): { kw: number; start: string } | null {
  let highest: { kw: number; start: string } | null = null;
  for (const { start, kwh } of intervals) {
    const kw = kwh === null ? 0 : (Number(kwh) * 3600) / seconds;
    if (kw > (highest?.kw ?? 0)) highest = { kw, start };
  }
  return highest;
}

import type { EventView } from "../api/client";
import type { Formats } from "../format";
import { Link } from "../router";
import { Icon, type IconName } from "../ui/Icon";
import { Card, Empty } from "../ui/Parts";
import { useSpeech } from "../words";
import type { Words } from "../words/en";
import classes from "./EventsCard.module.css";

type Tone = "good" | "warn" | "bad" | "plain";

const looks: Record<string, [IconName, Tone]> = {
  BalanceLow: ["wallet", "warn"],
  BalanceExhausted: ["warning", "bad"],
  BalanceRestored: ["wallet", "good"],
  RechargeCredited: ["card", "good"],
  DisconnectPlanned: ["clock", "warn"],
  DisconnectCalledOff: ["check", "good"],
  SupplyDisconnected: ["plugOff", "bad"],
  ReconnectRequested: ["send", "plain"],
  SupplyReconnected: ["plug", "good"],
  SwitchFailed: ["warning", "bad"],
  BillRunStarted: ["receipt", "plain"],
  BillRunFinished: ["receipt", "good"],
  BillPosted: ["receipt", "plain"],
};

interface EventsProps {
  events: readonly EventView[];
  zone: string;
  className?: string | undefined;
}

/** What happened, newest first, by the town's days. */
export function EventsCard({ events, zone, className }: EventsProps) {
  const { words, show } = useSpeech();
  const days = new Map<string, EventView[]>();
  for (const event of events) {
    const day = show.day(event.at, zone);
    days.set(day, [...(days.get(day) ?? []), event]);
  }
  return (
    <Card id="events" title={words.events.title} aside={words.events.newest} className={className}>
      {events.length === 0 ? (
        <Empty title={words.events.none}>{words.events.noneLead}</Empty>
      ) : (
        <div className={classes.list} role="region" aria-label={words.events.title} tabIndex={0}>
          {[...days].map(([day, theirs]) => (
            <section key={day} aria-label={day}>
              <h3 className={classes.day}>{day}</h3>
              <ul>
                {theirs.map((event) => (
                  <Event key={event.seq} event={event} zone={zone} />
                ))}
              </ul>
            </section>
          ))}
        </div>
      )}
    </Card>
  );
}

function Event({ event, zone }: { event: EventView; zone: string }) {
  const { words, show } = useSpeech();
  const [icon, tone] = looks[event.kind] ?? ["clock", "plain"];
  const detail = said(event, zone, words, show);
  return (
    <li className={classes.event}>
      <span className={classes.icon} data-tone={tone}>
        <Icon name={icon} size={18} />
      </span>
      <div>
        <p className={classes.what}>{words.events.kinds[event.kind] ?? spaced(event.kind)}</p>
        <p className={classes.who}>
          {event.contract !== null && (
            <Link href={`/app/${encodeURIComponent(event.contract)}`}>{event.account_name ?? event.contract}</Link>
          )}
          {event.contract !== null && detail !== null && " · "}
          {detail}
        </p>
      </div>
      <time className={classes.when} dateTime={event.at}>
        {show.time(event.at, zone)}
      </time>
    </li>
  );
}

/** `SomeNewKind` as "Some new kind": a kind this page does not know yet is still readable. */
function spaced(kind: string): string {
  const text = kind.replace(/([a-z])([A-Z])/g, (_, end: string, start: string) => `${end} ${start.toLowerCase()}`);
  return text;
}

/** The part of an event's data that a line has room for. */
function said({ kind, data }: EventView, zone: string, words: Words, show: Formats): string | null {
  const { currency, amount, available, total, month, posted, held, contracts, cut_off_at: cutOff, detail } = data;
  if (kind === "DisconnectPlanned" && cutOff !== undefined) return words.events.cutOff(show.dayTime(cutOff, zone));
  if (kind === "SwitchFailed" && detail !== undefined) return detail;
  if (month !== undefined && kind.startsWith("BillRun")) {
    const name = show.month(month);
    if (posted !== undefined && held !== undefined)
      return `${name} · ${words.events.counts(Number(posted), Number(held))}`;
    return contracts === undefined ? name : `${name} · ${words.events.contracts(Number(contracts))}`;
  }
  const money = amount ?? total ?? available;
  return currency !== undefined && money !== undefined ? show.money(money, currency) : null;
}

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

/** An event, or several of one kind in a row that would push everything else off the page. */
interface Entry {
  event: EventView;
  times: number;
}

const MANY = new Set(["BillPosted"]);

/** What happened, newest first, by the town's days. */
export function EventsCard({ events, zone, className }: EventsProps) {
  const { words, show } = useSpeech();
  const days = new Map<string, Entry[]>();
  for (const event of events) {
    const day = show.day(event.at, zone);
    const entries = days.get(day) ?? [];
    const last = entries.at(-1);
    if (last?.event.kind === event.kind && MANY.has(event.kind)) last.times += 1;
    else days.set(day, [...entries, { event, times: 1 }]);
  }
  return (
    <Card id="events" title={words.events.title} aside={words.events.newest} className={className}>
      {events.length === 0 ? (
        <Empty title={words.events.none}>{words.events.noneLead}</Empty>
      ) : (
        <div className={classes.list} role="region" aria-label={words.events.newestFirst} tabIndex={0}>
          {[...days].map(([day, entries]) => (
            <section key={day} aria-label={day}>
              <h3 className={classes.day}>{day}</h3>
              <ul>
                {entries.map((entry) => (
                  <Event key={entry.event.seq} entry={entry} zone={zone} />
                ))}
              </ul>
            </section>
          ))}
        </div>
      )}
    </Card>
  );
}

function Event({ entry, zone }: { entry: Entry; zone: string }) {
  const { words, show } = useSpeech();
  const { event, times } = entry;
  const [icon, tone] = looks[event.kind] ?? ["clock", "plain"];
  const { money, text } = said(event, zone, words, show);
  const name = words.events.kinds[event.kind] ?? spaced(event.kind);
  return (
    <li className={classes.event}>
      <span className={classes.icon} data-tone={tone}>
        <Icon name={icon} size={18} />
      </span>
      <div>
        <p className={classes.what}>{times > 1 ? words.events.several(name, times) : name}</p>
        {times === 1 && event.contract !== null && (
          <p className={classes.who}>
            <Link href={`/app/${encodeURIComponent(event.contract)}`}>{event.account_name ?? event.contract}</Link>
          </p>
        )}
        {text !== null && <p className={classes.who}>{text}</p>}
      </div>
      <div className={classes.when}>
        <time dateTime={event.at}>{show.time(event.at, zone)}</time>
        {times === 1 && money !== null && <p className={classes.money}>{money}</p>}
      </div>
    </li>
  );
}

/** `SomeNewKind` as "Some new kind": a kind this page does not know yet is still readable. */
function spaced(kind: string): string {
  return kind.replace(/([a-z])([A-Z])/g, (_, end: string, start: string) => `${end} ${start.toLowerCase()}`);
}

/** The parts of an event's data that a line has room for. */
function said(
  { kind, data }: EventView,
  zone: string,
  words: Words,
  show: Formats,
): { money: string | null; text: string | null } {
  const { currency, amount, available, total, month, posted, held, contracts, cut_off_at: cutOff, detail } = data;
  const figure = amount ?? total ?? available;
  const money = currency !== undefined && figure !== undefined ? show.money(figure, currency) : null;
  if (kind === "DisconnectPlanned" && cutOff !== undefined)
    return { money, text: words.events.cutOff(show.dayTime(cutOff, zone)) };
  if (kind === "SwitchFailed" && detail !== undefined) return { money, text: detail };
  if (month === undefined || !kind.startsWith("BillRun")) return { money, text: null };
  const what =
    posted !== undefined && held !== undefined
      ? words.events.counts(Number(posted), Number(held))
      : contracts !== undefined
        ? words.events.contracts(Number(contracts))
        : null;
  return { money, text: [show.month(month), what].filter((part) => part !== null).join(" · ") };
}

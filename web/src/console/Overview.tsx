import { Skeleton, VisuallyHidden } from "@mantine/core";
import type { ReactNode } from "react";
import type { OverviewView } from "../api/client";
import { Link } from "../router";
import { Icon, type IconName } from "../ui/Icon";
import { useSpeech } from "../words";
import { ArrivalsCard } from "./ArrivalsCard";
import { BillRunCard } from "./BillRunCard";
import { EventsCard } from "./EventsCard";
import classes from "./Overview.module.css";
import { SuppliesCard } from "./SuppliesCard";
import { WalletsCard } from "./WalletsCard";

/** Today's work first, then what it is made of. */
export function Overview({ view }: { view: OverviewView }) {
  const { words } = useSpeech();
  return (
    <>
      <div className={classes.head}>
        <div>
          <h1>{words.overview.title}</h1>
          <p>{words.overview.lead(view.contracts)}</p>
        </div>
        <Link href="/app">
          {words.overview.toApp}
          <Icon name="next" size={16} />
        </Link>
      </div>
      <Tiles view={view} />
      <div className={classes.board}>
        <div className={classes.column}>
          <WalletsCard wallets={view.wallets} />
          <ArrivalsCard arrivals={view.arrivals} zone={view.zone} />
          <BillRunCard run={view.bill_run} zone={view.zone} />
        </div>
        <div className={classes.column}>
          <SuppliesCard supply={view.supply} />
          <EventsCard events={view.events} zone={view.zone} className={classes.rest} />
        </div>
      </div>
    </>
  );
}

function Tiles({ view }: { view: OverviewView }) {
  const { words, show } = useSpeech();
  const { wallets, supply, arrivals, money_today: money } = view;
  const near = wallets.low + wallets.empty;
  const switching = supply.disconnecting + supply.reconnecting;
  const rate = arrivals.expected_today > 0 ? arrivals.arrived_today / arrivals.expected_today : null;
  const recharged = Object.entries(money.recharged);
  const deducted = Object.entries(money.deducted);
  return (
    <nav aria-label={words.overview.tiles}>
      <ul className={classes.tiles}>
        <Tile
          href="#wallets"
          icon="wallet"
          name={words.overview.nearZero}
          tone={wallets.empty > 0 ? "bad" : near > 0 ? "warn" : "good"}
          note={words.overview.nearZeroNote(wallets.low, wallets.empty)}
        >
          {show.count(near)} <small>{words.overview.ofWallets(wallets.count)}</small>
        </Tile>
        <Tile
          href="#supplies"
          icon={supply.off > 0 ? "plugOff" : "plug"}
          name={words.overview.supplyOff}
          tone={supply.off > 0 ? "bad" : "good"}
          note={supply.off + switching === 0 ? words.overview.supplyAllOn : words.overview.supplyNote(switching)}
        >
          {show.count(supply.off)}
        </Tile>
        <Tile
          href="#arrivals"
          icon="arrivals"
          name={words.overview.arrived}
          tone={rate === null || rate >= 0.98 ? "good" : rate >= 0.9 ? "warn" : "bad"}
          note={
            rate === null
              ? words.overview.nothingExpected
              : words.overview.arrivedNote(show.count(arrivals.arrived_today), show.count(arrivals.expected_today))
          }
        >
          {rate === null ? "–" : show.percent(rate)}
        </Tile>
        <Tile
          href="#events"
          icon="card"
          name={words.overview.recharged}
          tone="good"
          note={deducted.map(([currency, amount]) => words.overview.deducted(show.money(amount, currency))).join(" · ")}
        >
          {recharged.length === 0 ? (
            <small>{words.overview.nothing}</small>
          ) : (
            recharged.map(([currency, amount]) => show.money(amount, currency)).join(" · ")
          )}
        </Tile>
      </ul>
    </nav>
  );
}

interface TileProps {
  href: string;
  icon: IconName;
  name: string;
  tone: "good" | "warn" | "bad";
  note: string;
  children: ReactNode;
}

/** One figure of today; it opens the list it is counted from. */
function Tile({ href, icon, name, tone, note, children }: TileProps) {
  return (
    <li>
      <a href={href} className={classes.tile} data-tone={tone}>
        <span className={classes.name}>
          <span className={classes.badge}>
            <Icon name={icon} size={18} />
          </span>
          {name}
        </span>
        <span className={classes.figure}>{children}</span>
        <span className={classes.note}>{note}</span>
      </a>
    </li>
  );
}

export function OverviewSkeleton() {
  const { words } = useSpeech();
  return (
    <div aria-busy="true">
      <VisuallyHidden role="status">{words.shell.loading}</VisuallyHidden>
      <div className={classes.head}>
        <Skeleton width={220} height={56} />
      </div>
      <div className={classes.tiles}>
        {Array.from({ length: 4 }, (_, index) => (
          <Skeleton key={index} height={124} radius="lg" />
        ))}
      </div>
      <div className={classes.board}>
        <div className={classes.column}>
          <Skeleton height={660} radius="lg" />
          <Skeleton height={366} radius="lg" />
          <Skeleton height={240} radius="lg" />
        </div>
        <div className={classes.column}>
          <Skeleton height={170} radius="lg" />
          <Skeleton className={classes.rest} height={520} radius="lg" />
        </div>
      </div>
    </div>
  );
}

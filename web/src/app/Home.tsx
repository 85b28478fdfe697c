import { useMemo } from "react";
import { api, outcome, type HomeView } from "../api/client";
import { useLive, useTownClock, type Source } from "../live";
import { levels, priceStrip } from "../periods";
import { go, Link } from "../router";
import { Icon, premiseIcon } from "../ui/Icon";
import { Card, Empty, Fault, RetryButton } from "../ui/Parts";
import { Shell } from "../ui/Shell";
import { useSpeech } from "../words";
import { Hero } from "./Hero";
import classes from "./Home.module.css";
import { NowCard } from "./NowCard";
import { PriceStrip } from "./PriceStrip";
import { Recharge } from "./Recharge";
import { HomeSkeleton } from "./HomeSkeleton";
import { Steps } from "./Steps";
import { TodayCard } from "./TodayCard";
import { UsualCard } from "./UsualCard";
import { useRecharge } from "./useRecharge";

/** `/app/{contract}`: what it costs now, how long the money lasts, and the way to more of it. */
export function Home({ contract, recharging }: { contract: string; recharging: boolean }) {
  const { words } = useSpeech();
  const source = useMemo(
    (): Source<HomeView> => ({
      load: (signal) =>
        outcome(
          api.GET("/api/v1/contracts/{contract_id}/home", { params: { path: { contract_id: contract } }, signal }),
        ),
      stream: `/api/v1/contracts/${encodeURIComponent(contract)}/home/stream`,
      event: "home",
    }),
    [contract],
  );
  const { data, failure, link, receivedAt, retry } = useLive(source);
  const clock = useTownClock(data, receivedAt, link);
  const recharge = useRecharge(contract, data?.recharge ?? null);
  const page = `/app/${encodeURIComponent(contract)}`;

  return (
    <Shell
      title={data === null ? words.door.app : words.home.title(data.contract.account_name)}
      home="/app"
      width={1120}
      status={
        data === null && failure !== null
          ? null
          : { link, clock, zone: data?.zone ?? "UTC", speed: data?.clock_speed ?? 1 }
      }
      footer={data === null ? undefined : <Foot home={data} />}
    >
      {data === null ? (
        failure === null ? (
          <HomeSkeleton />
        ) : (
          <Fault failure={failure}>
            <RetryButton onClick={retry} />
            <SwitchLink />
          </Fault>
        )
      ) : (
        <>
          <Figures home={data} clock={clock} />
          {data.balance !== null && (
            <Recharge
              home={data}
              opened={recharging}
              recharge={recharge}
              close={() => {
                go(page);
              }}
            />
          )}
        </>
      )}
    </Shell>
  );
}

function SwitchLink() {
  const { words } = useSpeech();
  return (
    <Link href="/app" className={classes.switch}>
      <Icon name="back" size={17} />
      {words.home.switch}
    </Link>
  );
}

function Figures({ home, clock }: { home: HomeView; clock: number }) {
  const { words, show } = useSpeech();
  const { contract } = home;
  const known = useMemo(() => levels(home.prices), [home.prices]);
  const blocks = useMemo(() => priceStrip(home.prices, Date.parse(home.now)), [home.prices, home.now]);
  return (
    <>
      <div className={classes.head}>
        <h1>
          <Icon name={premiseIcon(contract.premise_kind)} size={24} />
          {contract.account_name}
        </h1>
        <SwitchLink />
      </div>
      <div className={classes.grid}>
        <Hero home={home} />
        <NowCard home={home} known={known} clock={clock} />
        {home.recharge !== null && (
          <Card
            title={words.recharge.latest(show.money(home.recharge.amount, home.recharge.currency))}
            aside={home.recharge.complete ? words.recharge.complete : words.recharge.underway}
            className={classes.wide}
          >
            <Steps recharge={home.recharge} zone={home.zone} wide />
          </Card>
        )}
        <PriceStrip blocks={blocks} known={known} zone={home.zone} currency={contract.currency} />
        <TodayCard home={home} known={known} />
        <div className={classes.side}>
          <UsualCard usual={home.usual} />
          <Notices home={home} />
        </div>
      </div>
    </>
  );
}

function Notices({ home }: { home: HomeView }) {
  const { words, show, language } = useSpeech();
  return (
    <Card title={words.notices.title}>
      {home.notices.length === 0 ? (
        <Empty title={words.notices.none}>{words.notices.noneLead}</Empty>
      ) : (
        <ul className={classes.notices}>
          {home.notices.map((notice) => (
            <li key={`${notice.at} ${notice.kind}`}>
              <Icon name="bell" size={18} />
              <div>
                <p>{notice.text[language] ?? notice.text.en ?? notice.kind}</p>
                <time dateTime={notice.at}>{show.dayTime(notice.at, home.zone)}</time>
              </div>
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}

function Foot({ home }: { home: HomeView }) {
  const { words } = useSpeech();
  const { tariff, contract } = home;
  return (
    <>
      <span title={tariff.hash}>{words.foot.tariff(tariff.name, tariff.version)}</span>
      <span>
        {words.foot.premise} {contract.service_point}
      </span>
      <span>
        {words.foot.contract} {contract.id}
      </span>
    </>
  );
}

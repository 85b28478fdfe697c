import { api, outcome, type OverviewView } from "../api/client";
import { useLive, useTownClock, type Source } from "../live";
import { Fault, RetryButton } from "../ui/Parts";
import { Shell } from "../ui/Shell";
import { useSpeech } from "../words";
import { Overview, OverviewSkeleton } from "./Overview";

const source: Source<OverviewView> = {
  load: (signal) => outcome(api.GET("/api/v1/overview", { signal })),
  stream: "/api/v1/overview/stream",
  event: "overview",
};

/** `/console`: the operator's page. */
export default function Console() {
  const { words } = useSpeech();
  const { data, failure, link, receivedAt, retry } = useLive(source);
  const clock = useTownClock(data, receivedAt, link);
  return (
    <Shell
      title={words.overview.title}
      home="/console"
      width={1360}
      status={
        data === null && failure !== null
          ? null
          : { link, clock, zone: data?.zone ?? "UTC", speed: data?.clock_speed ?? 1 }
      }
    >
      {data !== null ? (
        <Overview view={data} />
      ) : failure === null ? (
        <OverviewSkeleton />
      ) : (
        <Fault failure={failure}>
          <RetryButton onClick={retry} />
        </Fault>
      )}
    </Shell>
  );
}

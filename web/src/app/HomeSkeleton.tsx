import { Skeleton, VisuallyHidden } from "@mantine/core";
import { useSpeech } from "../words";
import hero from "./Hero.module.css";
import classes from "./Home.module.css";
import now from "./NowCard.module.css";
import strip from "./PriceStrip.module.css";
import today from "./TodayCard.module.css";

/** The page's shape while its figures are on their way. */
export function HomeSkeleton() {
  const { words } = useSpeech();
  return (
    <div aria-busy="true">
      <VisuallyHidden role="status">{words.shell.loading}</VisuallyHidden>
      <div className={classes.head}>
        <Skeleton width={200} height={28} />
      </div>
      <div className={classes.grid}>
        <Skeleton className={hero.place} height={336} radius="xl" />
        <Skeleton className={now.place} height={336} radius="lg" />
        <Skeleton className={strip.place} height={200} radius="lg" />
        <Skeleton className={today.place} height={520} radius="lg" />
        <div className={classes.side}>
          <Skeleton height={190} radius="lg" />
          <Skeleton height={240} radius="lg" />
        </div>
      </div>
    </div>
  );
}

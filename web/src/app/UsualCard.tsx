import type { HomeView } from "../api/client";
import { Icon } from "../ui/Icon";
import { Card, Empty } from "../ui/Parts";
import { useSpeech } from "../words";
import classes from "./UsualCard.module.css";

const SAME = 0.02;

/** Today beside a usual day, up to the same time. The comparison is a picture: floats will do. */
export function UsualCard({ usual }: { usual: HomeView["usual"] }) {
  const { words, show } = useSpeech();
  if (usual === null) {
    return (
      <Card title={words.usual.title}>
        <Empty title={words.usual.none}>{words.usual.noneLead}</Empty>
      </Card>
    );
  }
  const today = Number(usual.today_kwh);
  const typical = Number(usual.usual_kwh);
  const most = Math.max(today, typical, 0.001);
  const off = typical > 0 ? (today - typical) / typical : 0;
  return (
    <Card title={words.usual.title}>
      <p className={classes.verdict}>
        <Icon name={Math.abs(off) < SAME ? "check" : off < 0 ? "down" : "up"} />
        {Math.abs(off) < SAME
          ? words.usual.same
          : off < 0
            ? words.usual.less(show.percent(-off))
            : words.usual.more(show.percent(off))}
      </p>
      <div className={classes.bars}>
        <div className={classes.row}>
          <span>{words.usual.today}</span>
          <span>{show.quantity(usual.today_kwh, "kWh")}</span>
          <div className={classes.track} aria-hidden="true">
            <div className={classes.fill} style={{ width: `${(today / most) * 100}%` }} />
          </div>
        </div>
        <div className={classes.row}>
          <span>{words.usual.usual}</span>
          <span>{show.quantity(usual.usual_kwh, "kWh")}</span>
          <div className={classes.track} aria-hidden="true">
            <div className={classes.fill} data-usual="true" style={{ width: `${(typical / most) * 100}%` }} />
          </div>
        </div>
      </div>
      <p className={classes.note}>{words.usual.from(usual.days)}</p>
    </Card>
  );
}

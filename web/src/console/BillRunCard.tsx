import type { BillRunView } from "../api/client";
import { Icon } from "../ui/Icon";
import { Card, Empty } from "../ui/Parts";
import { useSpeech } from "../words";
import classes from "./BillRunCard.module.css";

/** The month's bill run: how far, what was held back and why, and whether wallets and statements agree. */
export function BillRunCard({ run, zone }: { run: BillRunView | null; zone: string }) {
  const { words, show } = useSpeech();
  if (run === null) {
    return (
      <Card id="bill-run" title={words.run.title}>
        <Empty title={words.run.none}>{words.run.noneLead}</Empty>
      </Card>
    );
  }
  const done = run.posted + run.held;
  const part = (n: number): string => `${run.contracts > 0 ? (n / run.contracts) * 100 : 0}%`;
  const agree = run.statements_agreeing === run.statements;
  const title = words.run.of(show.month(run.month));
  return (
    <Card
      id="bill-run"
      title={title}
      aside={
        <span className={classes.state}>
          <Icon name={run.state === "running" ? "switching" : "check"} size={16} />
          {run.state === "running" ? words.run.running : words.run.finished}
        </span>
      }
    >
      <div
        className={classes.bar}
        role="progressbar"
        aria-label={title}
        aria-valuemin={0}
        aria-valuemax={run.contracts}
        aria-valuenow={done}
        aria-valuetext={words.run.progress(done, run.contracts)}
      >
        <span className={classes.posted} style={{ width: part(run.posted) }} />
        <span className={classes.held} style={{ width: part(run.held) }} />
      </div>
      <p className={classes.progress}>
        {words.run.progress(done, run.contracts)} ·{" "}
        {run.finished_at === null
          ? words.run.since(show.dayTime(run.started_at, zone))
          : words.run.until(show.dayTime(run.finished_at, zone))}
      </p>
      <dl className={classes.facts}>
        <div>
          <dt>
            <span className={`${classes.swatch ?? ""} ${classes.posted ?? ""}`} />
            {words.run.posted}
          </dt>
          <dd className={classes.figure}>{show.count(run.posted)}</dd>
          {Object.entries(run.amounts).map(([currency, amount]) => (
            <dd key={currency}>{show.money(amount, currency)}</dd>
          ))}
        </div>
        <div>
          <dt>
            <span className={`${classes.swatch ?? ""} ${classes.held ?? ""}`} />
            {words.run.held}
          </dt>
          <dd className={classes.figure}>{show.count(run.held)}</dd>
          {Object.entries(run.held_by_reason).map(([reason, n]) => (
            <dd key={reason}>{words.run.because(n, words.run.reasons[reason] ?? reason.replaceAll("_", " "))}</dd>
          ))}
        </div>
        <div>
          <dt>
            <span className={`${classes.swatch ?? ""} ${classes.left ?? ""}`} />
            {words.run.left}
          </dt>
          <dd className={classes.figure}>{show.count(Math.max(run.contracts - done, 0))}</dd>
        </div>
        {run.statements > 0 && (
          <div>
            <dt data-agree={agree}>
              <Icon name={agree ? "check" : "warning"} size={16} />
              {words.run.statements}
            </dt>
            <dd className={classes.figure}>{words.run.of2(run.statements_agreeing, run.statements)}</dd>
            <dd>{words.run.statementsNote}</dd>
          </div>
        )}
      </dl>
    </Card>
  );
}

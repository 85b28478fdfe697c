import type { OverviewView, SupplyState } from "../api/client";
import { Card, SupplyMark } from "../ui/Parts";
import { useSpeech } from "../words";
import classes from "./SuppliesCard.module.css";

const STATES: readonly SupplyState[] = ["on", "off", "disconnecting", "reconnecting"];

export function SuppliesCard({ supply }: { supply: OverviewView["supply"] }) {
  const { words, show } = useSpeech();
  return (
    <Card id="supplies" title={words.supplies.title}>
      <div className={classes.bar} aria-hidden="true">
        {STATES.filter((state) => supply[state] > 0).map((state) => (
          <span key={state} className={classes[state]} style={{ flexGrow: supply[state] }} />
        ))}
      </div>
      <dl className={classes.list}>
        {STATES.map((state) => (
          <div key={state} data-none={supply[state] === 0}>
            <dt>
              <SupplyMark state={state} />
            </dt>
            <dd>{show.count(supply[state])}</dd>
          </div>
        ))}
      </dl>
    </Card>
  );
}

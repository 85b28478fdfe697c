import { VisuallyHidden } from "@mantine/core";
import type { RechargeView } from "../api/client";
import { Icon, type IconName } from "../ui/Icon";
import { useSpeech } from "../words";
import classes from "./Steps.module.css";

type Look = RechargeView["steps"][number]["state"] | "current";

const icons: Record<Look, IconName> = {
  done: "check",
  current: "switching",
  pending: "dot",
  not_needed: "dash",
  not_enough: "warning",
};

/** Money's way to the light: each step with its state and, once done, its time. */
export function Steps({ recharge, zone, wide = false }: { recharge: RechargeView; zone: string; wide?: boolean }) {
  const { words, show } = useSpeech();
  const waiting = recharge.steps.findIndex((step) => step.state === "pending");
  const last = recharge.steps.findLast((step) => step.state === "done");
  return (
    <>
      <ol className={classes.steps} data-wide={wide}>
        {recharge.steps.map(({ step, state, at }, index) => {
          const look: Look = state === "pending" && index === waiting ? "current" : state;
          return (
            <li key={step} className={classes.step} data-state={look} data-step={step}>
              <span className={classes.dot}>
                <Icon name={icons[look]} size={17} />
              </span>
              <span className={classes.name}>{words.recharge.steps[step]}</span>
              <span className={classes.when}>
                {state === "done" && at !== null ? (
                  <>
                    <VisuallyHidden>{words.recharge.stepStates.done} </VisuallyHidden>
                    <time dateTime={at}>{show.time(at, zone)}</time>
                  </>
                ) : (
                  words.recharge.stepStates[state]
                )}
              </span>
            </li>
          );
        })}
      </ol>
      {recharge.steps.some((step) => step.state === "not_enough") && (
        <p className={classes.short}>{words.recharge.notEnough}</p>
      )}
      <VisuallyHidden role="status">
        {last?.at != null && words.recharge.announce(words.recharge.steps[last.step], show.time(last.at, zone))}
      </VisuallyHidden>
    </>
  );
}

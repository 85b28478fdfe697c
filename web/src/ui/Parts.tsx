/** The small parts both entries are made of. */

import { Button, VisuallyHidden } from "@mantine/core";
import { useId, type ReactNode } from "react";
import type { Failure, SupplyState } from "../api/client";
import type { Level } from "../periods";
import { useSpeech } from "../words";
import { Icon, type IconName } from "./Icon";
import classes from "./Parts.module.css";

interface CardProps {
  /** The fragment other parts of the page link to. */
  id?: string;
  title: string;
  aside?: ReactNode;
  className?: string | undefined;
  children: ReactNode;
}

/** A titled section. */
export function Card({ id, title, aside, className, children }: CardProps) {
  const heading = useId();
  return (
    <section
      id={id}
      aria-labelledby={heading}
      className={className === undefined ? classes.card : `${classes.card ?? ""} ${className}`}
    >
      <div className={classes.cardHead}>
        <h2 id={heading}>{title}</h2>
        {aside !== undefined && <span className={classes.aside}>{aside}</span>}
      </div>
      {children}
    </section>
  );
}

/** An amount set so that the whole units carry: small symbol, small cents, read aloud as one. */
export function BigAmount({ amount, currency }: { amount: string; currency: string }) {
  const { show } = useSpeech();
  return (
    <>
      <VisuallyHidden>{show.money(amount, currency)}</VisuallyHidden>
      <span aria-hidden="true">
        {show.moneyParts(amount, currency).map(({ kind, text }, index) => (
          <span key={index} className={kind === "whole" ? undefined : classes[kind]}>
            {text}
          </span>
        ))}
      </span>
    </>
  );
}

/** The colours of a level as --level and --level-soft, for whatever stands inside. */
export const levelClass = (level: Level): string => classes[level] ?? "";

export function PeriodChip({ name, level }: { name: string; level: Level }) {
  return (
    <span className={`${classes.chip ?? ""} ${levelClass(level)}`}>
      <Icon name={level} size={17} />
      {name}
    </span>
  );
}

const supplyIcons: Record<SupplyState, IconName> = {
  on: "plug",
  off: "plugOff",
  disconnecting: "switching",
  reconnecting: "switching",
};

export function SupplyMark({ state }: { state: SupplyState }) {
  const { words } = useSpeech();
  return (
    <span className={classes.state} data-state={state}>
      <Icon name={supplyIcons[state]} size={18} />
      {words.supply[state]}
    </span>
  );
}

export function Empty({ title, children }: { title: string; children: ReactNode }) {
  return (
    <p className={classes.empty}>
      <strong>{title}</strong>
      {children}
    </p>
  );
}

interface FaultProps {
  failure: Failure;
  title?: string;
  tone?: "bad" | "warn";
  children?: ReactNode;
}

/** A failure in the API's own words: what happened, where, and how to mend it. */
export function Fault({ failure, title, tone = "bad", children }: FaultProps) {
  const { words } = useSpeech();
  const silent = failure.status === 0;
  const remedy = silent ? words.problem.offlineRemedy : failure.remedy;
  const detail = silent ? words.problem.offlineDetail : failure.detail;
  return (
    <div role="alert" className={classes.alert} data-tone={tone}>
      <Icon name="warning" />
      <div className={classes.alertBody}>
        <h2>{title ?? (silent ? words.problem.offline : (failure.title ?? words.problem.title))}</h2>
        {detail !== null && <p>{detail}</p>}
        {remedy !== null && (
          <p>
            <strong>{words.problem.whatToDo}:</strong> {remedy}
          </p>
        )}
        {children !== undefined && <div className={classes.alertActions}>{children}</div>}
      </div>
    </div>
  );
}

export function RetryButton({ onClick }: { onClick: () => void }) {
  const { words } = useSpeech();
  return (
    <Button variant="default" onClick={onClick}>
      {words.shell.retry}
    </Button>
  );
}

/** Something that opens: "how we got this", a chart's table. */
export function Disclosure({ label, children }: { label: string; children: ReactNode }) {
  return (
    <details className={classes.disclosure}>
      <summary>{label}</summary>
      {children}
    </details>
  );
}

/** A long table in a frame of its own, reachable by keyboard. */
export function TableFrame({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div className={classes.scroll} role="region" aria-label={label} tabIndex={0}>
      <table className={classes.table}>{children}</table>
    </div>
  );
}

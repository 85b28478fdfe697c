import { Button, Drawer, TextInput } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import { useState, type SubmitEvent } from "react";
import type { HomeView, RechargeView } from "../api/client";
import { decimalsOf, readAmount } from "../format";
import { GOLD } from "../theme";
import { Icon } from "../ui/Icon";
import { BigAmount, Fault } from "../ui/Parts";
import { useSpeech } from "../words";
import classes from "./Recharge.module.css";
import { Steps } from "./Steps";
import type { Phase, useRecharge } from "./useRecharge";

interface RechargeProps {
  home: HomeView;
  opened: boolean;
  close: () => void;
  recharge: ReturnType<typeof useRecharge>;
}

/** The recharge drawer: choose, pay, follow the money to the light. */
export function Recharge({ home, opened, close, recharge }: RechargeProps) {
  const { words } = useSpeech();
  const phone = useMediaQuery("(max-width: 640px)", undefined, { getInitialValueInEffect: false });
  return (
    <Drawer.Root
      opened={opened}
      onClose={close}
      position={phone ? "bottom" : "right"}
      size={phone ? "auto" : 440}
      styles={{
        content: {
          background: "var(--wl-card)",
          borderRadius: phone ? "22px 22px 0 0" : 0,
          ...(phone && { flex: "0 0 100%", height: "auto", maxHeight: "94dvh" }),
        },
      }}
    >
      <Drawer.Overlay />
      <Drawer.Content>
        <Drawer.Body className={classes.body}>
          <div className={classes.top}>
            <Drawer.Title className={classes.title}>{words.recharge.title}</Drawer.Title>
            <Drawer.CloseButton aria-label={words.recharge.close} size={40} />
          </div>
          <Stage phase={recharge.phase} home={home} close={close} recharge={recharge} />
        </Drawer.Body>
      </Drawer.Content>
    </Drawer.Root>
  );
}

function Stage({ phase, home, close, recharge }: { phase: Phase } & Omit<RechargeProps, "opened">) {
  const { words, show } = useSpeech();
  const { currency } = home.contract;
  switch (phase.at) {
    case "form":
    case "sending":
      return <Form home={home} phase={phase} pay={recharge.pay} />;
    case "unsure": {
      const { attempt, failure } = phase;
      const amount = show.money(attempt.amount, currency);
      return (
        <>
          <Fault
            tone="warn"
            title={words.recharge.unsureTitle}
            failure={{
              status: -1,
              title: null,
              detail: words.recharge.unsure(amount),
              remedy: failure?.remedy ?? null,
            }}
          />
          <div className={classes.actions}>
            <Button
              size="lg"
              onClick={() => {
                recharge.askAgain(attempt);
              }}
            >
              {words.recharge.ask}
            </Button>
            <Button
              variant="subtle"
              onClick={() => {
                recharge.startAfresh(attempt);
              }}
            >
              {words.recharge.forget}
            </Button>
            <p className={classes.hint}>{words.recharge.forgetWarn}</p>
          </div>
        </>
      );
    }
    case "result":
      return (
        <Result
          view={phase.recharge}
          zone={home.zone}
          close={close}
          again={() => {
            recharge.startAfresh(null);
          }}
        />
      );
  }
}

interface FormProps {
  home: HomeView;
  phase: Extract<Phase, { at: "form" | "sending" }>;
  pay: (amount: string) => void;
}

const OWN = "own";

function Form({ home, phase, pay }: FormProps) {
  const { words, show } = useSpeech();
  const { currency } = home.contract;
  const suggested = home.suggested_recharges;
  const decimals = decimalsOf(currency);
  const [choice, setChoice] = useState(suggested[0] ?? OWN);
  const [typed, setTyped] = useState("");
  const [asked, setAsked] = useState(false);

  const own = readAmount(typed, decimals);
  const amount = choice !== OWN ? choice : "amount" in own ? own.amount : null;
  const fault =
    choice === OWN && asked && "fault" in own
      ? own.fault === "decimals"
        ? words.recharge.decimals(decimals)
        : words.recharge[own.fault]
      : null;
  const days = amount === null ? null : daysBought(amount, suggested);
  const sending = phase.at === "sending";

  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    setAsked(true);
    if (amount !== null) pay(amount);
  };
  return (
    <form onSubmit={submit} className={classes.form} noValidate>
      {home.balance !== null && (
        <p className={classes.lead}>{words.recharge.lead(show.money(home.balance.available, currency))}</p>
      )}
      {phase.at === "form" && phase.refusal !== null && (
        <Fault failure={phase.refusal} title={words.recharge.refused} />
      )}
      {suggested.length > 0 && (
        <fieldset className={classes.choices} disabled={sending}>
          <legend className={classes.legend}>{words.recharge.suggested}</legend>
          <div className={classes.grid}>
            {suggested.map((value, index) => (
              <label key={value} className={classes.choice}>
                <input
                  type="radio"
                  name="amount"
                  value={value}
                  checked={choice === value}
                  data-autofocus={choice === value ? true : undefined}
                  onChange={() => {
                    setChoice(value);
                  }}
                />
                <span className={classes.face}>
                  <span className={classes.tick}>
                    <Icon name="check" size={15} />
                  </span>
                  {show.roundMoney(value, currency)}
                  <small>{words.recharge.days((index + 1) * DAYS_STEP)}</small>
                </span>
              </label>
            ))}
          </div>
        </fieldset>
      )}
      <TextInput
        size="md"
        label={words.recharge.own}
        inputMode="decimal"
        autoComplete="off"
        name="own"
        disabled={sending}
        value={typed}
        error={fault}
        description={choice === OWN && days !== null ? words.recharge.ownHint(words.recharge.days(days)) : undefined}
        inputWrapperOrder={["label", "input", "description", "error"]}
        onFocus={() => {
          if (typed !== "") setChoice(OWN);
        }}
        onChange={(event) => {
          setTyped(event.currentTarget.value);
          setAsked(false);
          setChoice(event.currentTarget.value === "" ? (suggested[0] ?? OWN) : OWN);
        }}
      />
      <div className={classes.actions}>
        <Button type="submit" size="lg" color={GOLD} loading={sending}>
          {amount === null ? words.recharge.payNothing : words.recharge.pay(show.money(amount, currency))}
        </Button>
        <span role="status" className={classes.hint}>
          {phase.at === "sending" && (phase.again ? words.recharge.retrying : words.recharge.sending)}
        </span>
      </div>
      <p className={classes.method}>
        <Icon name="card" size={18} />
        {words.recharge.method}
      </p>
    </form>
  );
}

const DAYS_STEP = 10; // the API suggests amounts for about 10, 20 and 30 days

/** About how many days of own use an amount buys, from the suggestion for ten; for the eye only. */
function daysBought(amount: string, suggested: readonly string[]): number | null {
  const ten = Number(suggested[0] ?? 0);
  return ten > 0 ? Math.floor((Number(amount) / ten) * DAYS_STEP) : null;
}

function Result({
  view,
  zone,
  close,
  again,
}: {
  view: RechargeView;
  zone: string;
  close: () => void;
  again: () => void;
}) {
  const { words, show } = useSpeech();
  const amount = show.money(view.amount, view.currency);
  return (
    <>
      <div>
        <p className={classes.total}>
          <BigAmount amount={view.amount} currency={view.currency} />
        </p>
        <p>{view.complete ? words.recharge.doneTitle(amount) : words.recharge.resultTitle(amount)}</p>
        <p className={classes.lead}>{words.recharge.after(show.money(view.balance_after, view.currency))}</p>
      </div>
      <Steps recharge={view} zone={zone} />
      <div className={classes.actions}>
        <Button size="lg" onClick={close}>
          {view.complete ? words.recharge.done : words.recharge.close}
        </Button>
        {view.complete && (
          <Button variant="subtle" onClick={again}>
            {words.recharge.again}
          </Button>
        )}
      </div>
    </>
  );
}

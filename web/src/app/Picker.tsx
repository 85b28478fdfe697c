import { Button, SegmentedControl, Skeleton, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useEffect, useState } from "react";
import { api, outcome, type ContractSummary, type Failure } from "../api/client";
import { Link } from "../router";
import { Icon, premiseIcon } from "../ui/Icon";
import { Empty, Fault, RetryButton } from "../ui/Parts";
import { Shell } from "../ui/Shell";
import { useSpeech } from "../words";
import classes from "./Picker.module.css";

const PAGE = 30;

type Mode = "all" | ContractSummary["mode"];

interface Found {
  /** What was asked when these came. */
  question: string;
  items: ContractSummary[];
  total: number;
}

/** Every contract of the town, to choose whose page to see: there is no sign-in yet. */
export function Picker() {
  const { words } = useSpeech();
  const [typed, setTyped] = useState("");
  const [mode, setMode] = useState<Mode>("all");
  const [wanted] = useDebouncedValue(typed.trim(), 200);
  const { found, failure, more, retry } = useContracts(wanted, mode);

  return (
    <Shell title={words.picker.title} home="/" width={1120}>
      <div className={classes.head}>
        <h1>{words.picker.title}</h1>
        <p>{words.picker.lead}</p>
      </div>
      <div className={classes.body}>
        <div className={classes.filters} role="search">
          <TextInput
            size="md"
            type="search"
            aria-label={words.picker.search}
            placeholder={words.picker.search}
            value={typed}
            leftSection={<Icon name="search" />}
            onChange={(event) => {
              setTyped(event.currentTarget.value);
            }}
          />
          <SegmentedControl
            fullWidth
            aria-label={words.picker.mode}
            value={mode}
            onChange={setMode}
            data={[
              { value: "all", label: words.picker.all },
              { value: "prepay", label: words.picker.prepay },
              { value: "postpay", label: words.picker.postpay },
            ]}
          />
        </div>
        {failure !== null ? (
          <Fault failure={failure}>
            <RetryButton onClick={retry} />
          </Fault>
        ) : found === null ? (
          <Waiting />
        ) : found.total === 0 ? (
          <Nobody
            searching={wanted !== "" || mode !== "all"}
            clear={() => {
              setTyped("");
              setMode("all");
            }}
          />
        ) : (
          <>
            <ul className={classes.list}>
              {found.items.map((contract) => (
                <Row key={contract.id} contract={contract} />
              ))}
            </ul>
            <div className={classes.after}>
              <span role="status">{words.picker.shown(found.items.length, found.total)}</span>
              {found.items.length < found.total && (
                <Button variant="default" onClick={more}>
                  {words.picker.more}
                </Button>
              )}
            </div>
          </>
        )}
      </div>
    </Shell>
  );
}

function Row({ contract }: { contract: ContractSummary }) {
  const { words } = useSpeech();
  return (
    <li>
      <Link href={`/app/${encodeURIComponent(contract.id)}`} className={classes.row}>
        <span className={classes.badge}>
          <Icon name={premiseIcon(contract.premise_kind)} size={22} />
        </span>
        <span>
          <span className={classes.name}>{contract.account_name}</span>
          <span className={classes.facts}>
            {words.kinds[contract.premise_kind] ?? contract.premise_kind} · {contract.tariff}
          </span>
        </span>
        <span className={classes.mode}>
          <Icon name={contract.mode === "prepay" ? "wallet" : "receipt"} size={17} />
          {words.picker[contract.mode]}
        </span>
      </Link>
    </li>
  );
}

function Waiting() {
  const { words } = useSpeech();
  return (
    <ul className={classes.list} aria-busy="true" aria-label={words.shell.loading}>
      {Array.from({ length: 8 }, (_, index) => (
        <li key={index} className={classes.row}>
          <Skeleton width={42} height={42} radius={12} />
          <span>
            <Skeleton width="46%" height={14} mb={8} />
            <Skeleton width="64%" height={12} />
          </span>
          <Skeleton width={70} height={12} />
        </li>
      ))}
    </ul>
  );
}

function Nobody({ searching, clear }: { searching: boolean; clear: () => void }) {
  const { words } = useSpeech();
  if (!searching) return <Empty title={words.picker.emptyTown}>{words.picker.emptyTownLead}</Empty>;
  return (
    <>
      <Empty title={words.picker.none}>{words.picker.noneLead}</Empty>
      <Button variant="default" onClick={clear}>
        {words.picker.clear}
      </Button>
    </>
  );
}

function useContracts(q: string, mode: Mode) {
  const question = `${mode}\n${q}`;
  const [found, setFound] = useState<Found | null>(null);
  const [failure, setFailure] = useState<Failure | null>(null);
  const [asked, setAsked] = useState({ question, offset: 0, round: 0 });
  // A new question starts from its first page (React's own way to reset state on a changed argument).
  if (asked.question !== question) setAsked({ question, offset: 0, round: 0 });
  const { offset, round } = asked;

  useEffect(() => {
    const stop = new AbortController();
    const query = { limit: PAGE, offset, ...(q === "" ? {} : { q }), ...(mode === "all" ? {} : { mode }) };
    void outcome(api.GET("/api/v1/contracts", { params: { query }, signal: stop.signal })).then((came) => {
      if (stop.signal.aborted) return;
      if ("failure" in came) {
        setFailure(came.failure);
        return;
      }
      setFailure(null);
      const { items, total } = came.data;
      setFound((was) => ({
        question,
        items: offset > 0 && was?.question === question ? [...was.items, ...items] : items,
        total,
      }));
    });
    return () => {
      stop.abort();
    };
  }, [question, q, mode, offset, round]);

  return {
    found,
    failure,
    more: () => {
      setAsked({ question, offset: found?.items.length ?? 0, round });
    },
    retry: () => {
      setAsked({ question, offset: 0, round: round + 1 });
    },
  };
}

import type { OverviewView } from "../api/client";
import { Link } from "../router";
import { Icon, premiseIcon } from "../ui/Icon";
import { Card, Empty, SupplyMark } from "../ui/Parts";
import { useSpeech } from "../words";
import classes from "./WalletsCard.module.css";

/** The lowest wallets, each a way to its owner's page. */
export function WalletsCard({ wallets }: { wallets: OverviewView["wallets"] }) {
  const { words, show } = useSpeech();
  const together = Object.entries(wallets.available)
    .map(([currency, amount]) => show.money(amount, currency))
    .join(" · ");
  return (
    <Card id="wallets" title={words.wallets.title} aside={together === "" ? undefined : words.wallets.lead(together)}>
      {wallets.near_zero.length === 0 ? (
        <Empty title={words.wallets.none}>{words.wallets.noneLead}</Empty>
      ) : (
        <table className={classes.table}>
          <thead>
            <tr>
              <th scope="col">{words.wallets.customer}</th>
              <th scope="col">{words.wallets.available}</th>
              <th scope="col">{words.wallets.days}</th>
              <th scope="col">{words.wallets.supply}</th>
            </tr>
          </thead>
          <tbody>
            {wallets.near_zero.map((row) => {
              const empty = /^-|^0*\.?0*$/.test(row.available);
              return (
                <tr key={row.contract}>
                  <th scope="row">
                    <Link href={`/app/${encodeURIComponent(row.contract)}`} className={classes.customer}>
                      <Icon name={premiseIcon(row.premise_kind)} size={19} />
                      {row.account_name}
                    </Link>
                  </th>
                  <td className={classes.amount} data-empty={empty}>
                    {show.money(row.available, row.currency)}
                  </td>
                  <td>
                    {empty
                      ? 0
                      : row.days_left === null
                        ? words.wallets.unknown
                        : words.wallets.daysValue(row.days_left)}
                  </td>
                  <td>
                    <SupplyMark state={row.supply} />
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      )}
    </Card>
  );
}

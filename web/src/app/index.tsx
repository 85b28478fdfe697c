import { Home } from "./Home";
import { Picker } from "./Picker";
import { FrontDoor } from "../ui/FrontDoor";

/** The consumer's pages: `/app` (whose?), `/app/{contract}`, `/app/{contract}/recharge`. */
export default function App({ path }: { path: string[] }) {
  const [contract, page, ...rest] = path;
  if (contract === undefined) return <Picker />;
  if (rest.length > 0 || (page !== undefined && page !== "recharge")) return <FrontDoor lost />;
  return <Home key={contract} contract={contract} recharging={page === "recharge"} />;
}

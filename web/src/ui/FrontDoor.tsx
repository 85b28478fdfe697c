import { Link } from "../router";
import { useSpeech } from "../words";
import classes from "./FrontDoor.module.css";
import { Icon } from "./Icon";
import { Shell } from "./Shell";

/** The two ways in; also what a wrong address shows. */
export function FrontDoor({ lost = false }: { lost?: boolean }) {
  const { words } = useSpeech();
  const { door } = words;
  const title = lost ? door.lost : door.title;
  return (
    <Shell title={title} home="/" width={1120}>
      <div className={classes.door}>
        <h1>{title}</h1>
        <p className={classes.lead}>{lost ? door.lostLead : door.lead}</p>
        <ul className={classes.ways}>
          <li>
            <Link href="/app" className={classes.way}>
              <strong>
                <Icon name="home" size={24} /> {door.app}
              </strong>
              {door.appLead}
            </Link>
          </li>
          <li>
            <Link href="/console" className={classes.way}>
              <strong>
                <Icon name="arrivals" size={24} /> {door.console}
              </strong>
              {door.consoleLead}
            </Link>
          </li>
        </ul>
      </div>
    </Shell>
  );
}

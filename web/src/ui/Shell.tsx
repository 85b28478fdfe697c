import { UnstyledButton, VisuallyHidden, useComputedColorScheme, useMantineColorScheme } from "@mantine/core";
import { useEffect, type ReactNode } from "react";
import type { Link as LinkState } from "../live";
import { Link } from "../router";
import { useSpeech } from "../words";
import { Icon, Mark } from "./Icon";
import classes from "./Shell.module.css";

/** What a live page's header says about its own figures. */
export interface Status {
  link: LinkState;
  /** The town's clock in epoch milliseconds; 0 while nothing is known. */
  clock: number;
  zone: string;
  speed: number;
}

interface ShellProps {
  title: string;
  home: string;
  width: number;
  status?: Status | null;
  footer?: ReactNode;
  children: ReactNode;
}

/** Header, main and footer of every page. */
export function Shell({ title, home, width, status, footer, children }: ShellProps) {
  const { words } = useSpeech();
  useEffect(() => {
    document.title = `${title} · Wattledger`;
  }, [title]);
  return (
    <>
      <a href="#main" className={classes.skip}>
        {words.shell.skip}
      </a>
      <header className={classes.header}>
        <div className={classes.bar} style={{ maxWidth: width }}>
          <Link href={home} className={classes.brand}>
            <Mark size={30} />
            Wattledger
          </Link>
          <div className={classes.status}>{status != null && <StatusLine {...status} />}</div>
          <Tools />
        </div>
      </header>
      <main id="main" tabIndex={-1} className={classes.main} style={{ maxWidth: width }}>
        {children}
      </main>
      {footer !== undefined && (
        <footer className={classes.footer} style={{ maxWidth: width }}>
          {footer}
        </footer>
      )}
    </>
  );
}

function StatusLine({ link, clock, zone, speed }: Status) {
  const { words, show } = useSpeech();
  return (
    <>
      {clock > 0 && (
        <span className={classes.clock}>
          <Icon name="clock" size={15} />
          <VisuallyHidden>{words.shell.townTime} </VisuallyHidden>
          <time dateTime={new Date(clock).toISOString()}>{show.townTime(clock, zone)}</time>
          {speed !== 1 && (
            <span className={classes.speed} title={words.shell.speed(speed)}>
              <span aria-hidden="true">{speed}×</span>
              <VisuallyHidden>{words.shell.speed(speed)}</VisuallyHidden>
            </span>
          )}
        </span>
      )}
      <span role="status" className={classes.link} data-link={link}>
        {link === "live" && (
          <>
            <span className={classes.pulse} /> {words.shell.live}
          </>
        )}
        {link === "connecting" && (
          <>
            <Icon name="switching" size={15} /> {words.shell.connecting}
          </>
        )}
        {link === "reconnecting" && (
          <>
            <Icon name="switching" size={15} />
            {clock > 0 ? words.shell.reconnecting(show.time(clock, zone)) : words.shell.connecting}
          </>
        )}
      </span>
    </>
  );
}

function Tools() {
  const { words, language, setLanguage } = useSpeech();
  const { setColorScheme } = useMantineColorScheme();
  const scheme = useComputedColorScheme("light", { getInitialValueInEffect: false });
  return (
    <div className={classes.tools} role="group" aria-label={words.shell.settings}>
      <UnstyledButton
        className={classes.tool}
        lang={words.otherLanguageCode}
        onClick={() => {
          setLanguage(language === "en" ? "zh" : "en");
        }}
      >
        {words.otherLanguage}
      </UnstyledButton>
      <UnstyledButton
        className={classes.tool}
        aria-label={scheme === "dark" ? words.shell.toLight : words.shell.toDark}
        onClick={() => {
          setColorScheme(scheme === "dark" ? "light" : "dark");
        }}
      >
        <Icon name={scheme === "dark" ? "sun" : "moon"} />
      </UnstyledButton>
    </div>
  );
}

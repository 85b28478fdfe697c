/** Line icons on a 24-unit grid, drawn for this project; they stand beside a word and are hidden from readers. */

const shapes = {
  bolt: "M13 2.5 5 13.5h6L10.5 21.5 19 10h-6.3z",
  plug: "M9 2.5v5M15 2.5v5M6.5 7.5h11v4a5.5 5.5 0 0 1-11 0zM12 17v4.5",
  plugOff:
    "M9 2.5v3.5M15 2.5v5M10.5 7.5h7v4a5.5 5.5 0 0 1-1 3.1M13.7 16.7A5.5 5.5 0 0 1 6.5 11.5V7.8M12 17v4.5M3.5 3.5l17 17",
  switching: "M4 12a8 8 0 0 1 13.7-5.6L20 8.5M20 3.5v5h-5M20 12a8 8 0 0 1-13.7 5.6L4 15.5M4 20.5v-5h5",
  high: "M3 19.5 9.5 8l3.8 6 2.2-3.2L21 19.5z",
  mid: "M3.5 9.5h17M3.5 14.5h17",
  low: "M19.5 14.2A8 8 0 1 1 9.8 4.5a6.3 6.3 0 0 0 9.7 9.7z",
  wallet: "M4 7.5A2.5 2.5 0 0 1 6.5 5H17v3M4 7.5V17a2.5 2.5 0 0 0 2.5 2.5H20V8H4.5M16 13.8h.1",
  bell: "M6 16.5V11a6 6 0 0 1 12 0v5.5l1.5 1.5h-15zM10 21h4",
  check: "M4.5 12.8 9.5 18 19.5 6.5",
  clock: "M12 3.5a8.5 8.5 0 1 1 0 17 8.5 8.5 0 0 1 0-17zM12 7.5V12l3 2",
  dash: "M6 12h12",
  dot: "M12 9.8a2.2 2.2 0 1 1 0 4.4 2.2 2.2 0 0 1 0-4.4z",
  search: "M10.8 4a6.8 6.8 0 1 1 0 13.6 6.8 6.8 0 0 1 0-13.6zM15.8 15.8l4.7 4.7",
  sun: "M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8zM12 2.5V5M12 19v2.5M2.5 12H5M19 12h2.5M5.3 5.3 7 7M17 17l1.7 1.7M18.7 5.3 17 7M7 17l-1.7 1.7",
  moon: "M19.5 14.2A8 8 0 1 1 9.8 4.5a6.3 6.3 0 0 0 9.7 9.7z",
  warning: "M12 4 2.8 19.5h18.4zM12 10v4.2M12 17h.1",
  home: "M4 11 12 4l8 7M6 9.5V20h12V9.5M10 20v-5.5h4V20",
  shop: "M4.5 10.5V20h15v-9.5M3.5 9l1.7-5h13.6l1.7 5a2.8 2.8 0 0 1-5.6 0 2.9 2.9 0 0 1-5.8 0 2.8 2.8 0 0 1-5.6 0zM10 20v-5h4v5",
  dormitory: "M5 20.5v-17h14v17M3 20.5h18M9 8h1.5M13.5 8H15M9 12h1.5M13.5 12H15M10 20.5V16h4v4.5",
  building_site: "M7 20.5V4M4 20.5h6M7 4h13.5M7 8.5h5L7 4.2M16.5 4v6M15 10h3v3h-3z",
  cafe: "M4.5 9h12v6a4.5 4.5 0 0 1-4.5 4.5H9A4.5 4.5 0 0 1 4.5 15zM16.5 10.5H18a2.5 2.5 0 0 1 0 5h-1.6M8 3v2.5M12.5 3v2.5",
  place: "M12 21s6.5-6 6.5-11a6.5 6.5 0 0 0-13 0c0 5 6.5 11 6.5 11zM12 8a2 2 0 1 1 0 4 2 2 0 0 1 0-4z",
  card: "M3.5 6.5h17v11h-17zM3.5 10.5h17M7 14.5h3.5",
  send: "M4 12h14M12.5 6 18.5 12l-6 6",
  back: "M20 12H5M11 6l-6 6 6 6",
  next: "M9.5 5.5 16 12l-6.5 6.5",
  receipt: "M6 3.5h12v17l-2-1.5-2 1.5-2-1.5-2 1.5-2-1.5-2 1.5zM9 8.5h6M9 12.5h6",
  arrivals: "M12 3.5v11M7.5 10.5 12 15l4.5-4.5M4 19.5h16",
  up: "M12 20V5M6 11l6-6 6 6",
  down: "M12 4v15M6 13l6 6 6-6",
  pause: "M8.5 5.5v13M15.5 5.5v13",
} as const;

export type IconName = keyof typeof shapes;

export function Icon({
  name,
  size = 20,
  className,
}: {
  name: IconName;
  size?: number;
  className?: string | undefined;
}) {
  return (
    <svg
      aria-hidden="true"
      className={className}
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth={1.8}
      strokeLinecap="round"
      strokeLinejoin="round"
      style={{ flex: "none" }}
    >
      <path d={shapes[name]} />
    </svg>
  );
}

export function premiseIcon(kind: string): IconName {
  return kind === "home" || kind === "shop" || kind === "dormitory" || kind === "building_site" || kind === "cafe"
    ? kind
    : "place";
}

export function Mark({ size = 32 }: { size?: number }) {
  return (
    <svg aria-hidden="true" width={size} height={size} viewBox="0 0 32 32" style={{ flex: "none" }}>
      <rect width="32" height="32" rx="9" fill="#0b3a31" />
      <path
        d="M6 10.5 11 22l5-9.5L21 22l5-11.5"
        fill="none"
        stroke="#f5b81c"
        strokeWidth="3"
        strokeLinecap="round"
        strokeLinejoin="round"
      />
      <circle cx="26" cy="10.5" r="2.6" fill="#ffe08a" />
    </svg>
  );
}

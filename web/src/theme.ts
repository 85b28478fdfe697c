import { createTheme, type CSSVariablesResolver, type MantineColorsTuple } from "@mantine/core";
import { dark, light, type Palette } from "./palette";

const pine: MantineColorsTuple = [
  "#eaf6f2",
  "#d5ebe4",
  "#a9d7c8",
  "#7ac2ab",
  "#53b093",
  "#3aa584",
  "#2c9f7c",
  "#1c8a6a",
  "#0d7358",
  "#0b5d4b",
];

// Latin first from what each system reads best in, then its own Chinese face; nothing is downloaded.
const fontFamily =
  '-apple-system, "Segoe UI Variable Text", "Segoe UI", Roboto, "Noto Sans", "PingFang SC", "Hiragino Sans GB", ' +
  '"Microsoft YaHei UI", "Microsoft YaHei", "Noto Sans CJK SC", "Source Han Sans SC", system-ui, sans-serif';

/** The colour of the one thing to do: recharge, pay. Dark words on it in both schemes. */
export const GOLD = "#f5b81c";

export const theme = createTheme({
  colors: { pine },
  primaryColor: "pine",
  primaryShade: 9,
  autoContrast: true,
  respectReducedMotion: true,
  fontFamily,
  defaultRadius: "md",
  radius: { xs: "4px", sm: "8px", md: "12px", lg: "18px", xl: "24px" },
  cursorType: "pointer",
  focusRing: "auto",
});

const named = (palette: Palette, filled: string): Record<string, string> => ({
  ...Object.fromEntries(Object.entries(palette).map(([name, colour]) => [`--wl-${kebab(name)}`, colour as string])),
  "--mantine-color-body": palette.ground,
  "--mantine-color-text": palette.ink,
  "--mantine-color-dimmed": palette.dim,
  "--mantine-color-placeholder": palette.dim,
  "--mantine-color-anchor": palette.accent,
  "--mantine-color-error": palette.bad,
  "--mantine-color-default": palette.card,
  "--mantine-color-default-hover": palette.sunken,
  "--mantine-color-default-color": palette.ink,
  "--mantine-color-default-border": palette.edge,
  "--mantine-primary-color-filled": filled,
  "--mantine-primary-color-filled-hover": `color-mix(in srgb, ${filled} 88%, black)`,
  "--mantine-primary-color-light-color": palette.accent,
});

const kebab = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

export const variables: CSSVariablesResolver = () => ({
  variables: {},
  light: named(light, pine[9]),
  dark: named(dark, pine[8]),
});

/**
 * The two sets of colours, once. The theme turns them into CSS variables (`--wl-...`), ECharts reads them here.
 *
 * Every text colour keeps at least 4.5:1 on every ground it is used on, every line and bar 3:1; period colours differ
 * in lightness as well as in hue, and never speak without an icon, a word or a pattern beside them.
 */

export interface Palette {
  ground: string;
  card: string;
  sunken: string;
  line: string;
  edge: string;
  ink: string;
  dim: string;
  accent: string;
  accentSoft: string;
  good: string;
  goodSoft: string;
  warn: string;
  warnSoft: string;
  bad: string;
  badSoft: string;
  low: string;
  lowSoft: string;
  mid: string;
  midSoft: string;
  high: string;
  highSoft: string;
}

export const light: Palette = {
  ground: "#eef2ef",
  card: "#ffffff",
  sunken: "#f4f7f5",
  line: "#dbe3de",
  edge: "#7d8d86",
  ink: "#10231e",
  dim: "#495a54",
  accent: "#0b5d4b",
  accentSoft: "#dcefe8",
  good: "#0a6b4f",
  goodSoft: "#dcf1e7",
  warn: "#7a5200",
  warnSoft: "#fdf0cd",
  bad: "#a3271a",
  badSoft: "#fce6e1",
  low: "#2f6da8",
  lowSoft: "#e3edf7",
  mid: "#b07d00",
  midSoft: "#f8efd6",
  high: "#b5351f",
  highSoft: "#fae4de",
};

export const dark: Palette = {
  ground: "#0b1412",
  card: "#13201c",
  sunken: "#0f1a17",
  line: "#263731",
  edge: "#71847c",
  ink: "#e8f1ec",
  dim: "#a9bab2",
  accent: "#63cfae",
  accentSoft: "#173a31",
  good: "#66d1a6",
  goodSoft: "#16372c",
  warn: "#f3c14d",
  warnSoft: "#3a2e10",
  bad: "#ff9a86",
  badSoft: "#431f18",
  low: "#74aee6",
  lowSoft: "#162a3d",
  mid: "#e9b432",
  midSoft: "#352b10",
  high: "#ff7d63",
  highSoft: "#421f17",
};

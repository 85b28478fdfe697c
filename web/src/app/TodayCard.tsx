import type { EChartsCoreOption } from "echarts/core";
import { useCallback, useMemo } from "react";
import type { HomeView } from "../api/client";
import type { Palette } from "../palette";
import { arrivedOrLate, bands, daySlots, levelOf, periodName, type Level, type Slot } from "../periods";
import { Chart } from "../ui/Chart";
import { Card, Disclosure, Empty, PeriodChip, TableFrame } from "../ui/Parts";
import { useSpeech } from "../words";
import classes from "./TodayCard.module.css";

const HEIGHT = 250;
const LABEL_PX = 58;
const HOUR_MS = 3_600_000;

/** Today's intervals by price period, and what they came to: the sum is the API's, never ours. */
export function TodayCard({ home, known }: { home: HomeView; known: ReadonlyMap<string, Level> }) {
  const { words, show } = useSpeech();
  const { zone } = home;
  const now = Date.parse(home.now);
  const slots = useMemo(() => daySlots(home.today, home.prices, now), [home.today, home.prices, now]);
  const today = useMemo(
    () => ({ ...home.today, intervals: arrivedOrLate(home.today.intervals, now) }),
    [home.today, now],
  );
  const { currency } = home.contract;
  const estimated = today.intervals.filter(
    (one) => one.quality === "estimated" || one.quality === "substituted",
  ).length;
  const missing = today.intervals.filter((one) => one.quality === "missing").length;

  const option = useCallback(
    (palette: Palette, width: number): EChartsCoreOption =>
      dayChart({
        slots,
        palette,
        width,
        level: (period) => levelOf(period, known),
        name: (period) => periodName(period, words.periods),
        time: (at) => show.time(at, zone),
        said: (slot) =>
          [
            `${show.time(slot.start, zone)}–${show.time(slot.start + today.interval_seconds * 1000, zone)}`,
            slot.kwh === null ? words.today.missing : show.quantity(slot.kwh, "kWh"),
            slot.period === null ? "" : periodName(slot.period, words.periods),
            slot.quality === "actual" || slot.quality === "ahead" ? "" : words.today.qualities[slot.quality],
          ]
            .filter((part) => part !== "")
            .join("\n"),
      }),
    [slots, known, words, show, zone, today.interval_seconds],
  );

  const sum = show.quantity(today.kwh, "kWh");
  return (
    <Card
      title={words.today.title}
      aside={words.today.sum(sum, show.money(today.cost, currency))}
      className={classes.place}
    >
      {today.intervals.length === 0 ? (
        <Empty title={words.today.empty}>{words.now.noReadingLead}</Empty>
      ) : (
        <Chart label={words.today.chart(sum)} height={HEIGHT} option={option} />
      )}
      {(estimated > 0 || missing > 0) && (
        <ul className={classes.notes}>
          {estimated > 0 && (
            <li>
              <span className={`${classes.swatch ?? ""} ${classes.estimated ?? ""}`} />
              {words.today.estimatedCount(estimated)}
            </li>
          )}
          {missing > 0 && (
            <li>
              <span className={`${classes.swatch ?? ""} ${classes.missing ?? ""}`} />
              {words.today.missingCount(missing)}
            </li>
          )}
        </ul>
      )}
      <table className={classes.table}>
        <thead>
          <tr>
            <th scope="col">{words.today.period}</th>
            <th scope="col">{words.today.energy}</th>
            <th scope="col">{words.today.cost}</th>
          </tr>
        </thead>
        <tbody>
          {today.by_period.map((use) => (
            <tr key={use.period}>
              <th scope="row">
                <PeriodChip name={periodName(use.period, words.periods)} level={levelOf(use.period, known)} />
              </th>
              <td>{show.quantity(use.kwh, "kWh")}</td>
              <td>{show.money(use.cost, currency)}</td>
            </tr>
          ))}
          <tr>
            <th scope="row">{words.today.fixed}</th>
            <td />
            <td>{show.money(today.fixed, currency)}</td>
          </tr>
        </tbody>
        <tfoot>
          <tr>
            <th scope="row">{words.today.total}</th>
            <td>{sum}</td>
            <td>{show.money(today.cost, currency)}</td>
          </tr>
        </tfoot>
      </table>
      {today.intervals.length > 0 && (
        <Disclosure label={words.shell.table}>
          <TableFrame label={words.shell.tableOf(words.today.title)}>
            <thead>
              <tr>
                <th scope="col">{words.today.from}</th>
                <th scope="col">{words.today.energy}</th>
                <th scope="col">{words.today.period}</th>
                <th scope="col">{words.today.quality}</th>
              </tr>
            </thead>
            <tbody>
              {today.intervals.map((one) => (
                <tr key={one.start}>
                  <th scope="row">{show.time(one.start, zone)}</th>
                  <td>{one.kwh === null ? "–" : `${one.kwh} kWh`}</td>
                  <td>{periodName(one.period, words.periods)}</td>
                  <td>{words.today.qualities[one.quality]}</td>
                </tr>
              ))}
            </tbody>
          </TableFrame>
        </Disclosure>
      )}
    </Card>
  );
}

interface DayChart {
  slots: readonly Slot[];
  palette: Palette;
  width: number;
  level: (period: string) => Level;
  name: (period: string) => string;
  time: (at: number) => string;
  said: (slot: Slot) => string;
}

/** Bars on an axis of slots (0..n), so that shading and ticks fall on slot borders and a day may have 23 or 25 hours. */
function dayChart({ slots, palette, width, level, name, time, said }: DayChart): EChartsCoreOption {
  const left = 40;
  const right = 10;
  const slotWidth = (width - left - right) / Math.max(slots.length, 1);
  const first = slots[0]?.start ?? 0;
  const step = (slots[1]?.start ?? first + HOUR_MS) - first;
  const every = width < 520 ? 6 : 3;
  const ticks = slots.flatMap(({ start }, index) => {
    const [hour = "", minute = ""] = time(start).split(":");
    return minute === "00" && Number(hour) % every === 0 ? [index] : [];
  });
  const soft: Record<Level, string> = { low: palette.lowSoft, mid: palette.midSoft, high: palette.highSoft };
  const gaps = bands(slots.map((slot) => ({ ...slot, period: slot.quality === "missing" ? "missing" : null })));

  return {
    animation: false,
    textStyle: { fontFamily: "inherit" },
    grid: { left, right, top: 28, bottom: 24 },
    tooltip: {
      trigger: "axis",
      renderMode: "richText",
      backgroundColor: palette.card,
      borderColor: palette.edge,
      textStyle: { color: palette.ink, fontSize: 13, lineHeight: 19 },
      axisPointer: { type: "line", lineStyle: { color: palette.edge } },
      formatter: (shown: { dataIndex: number }[]) => {
        const slot = slots[shown[0]?.dataIndex ?? -1];
        return slot === undefined ? "" : said(slot);
      },
    },
    xAxis: {
      type: "value",
      min: 0,
      max: slots.length,
      splitLine: { show: false },
      axisLine: { lineStyle: { color: palette.edge } },
      axisTick: { show: true, customValues: [...ticks, slots.length], lineStyle: { color: palette.edge } },
      axisLabel: {
        customValues: [...ticks, slots.length],
        color: palette.dim,
        fontSize: 12,
        alignMaxLabel: "right",
        formatter: (index: number) => (index === slots.length ? "" : time(first + index * step)),
      },
    },
    yAxis: {
      type: "value",
      splitNumber: 3,
      axisLabel: { color: palette.dim, fontSize: 12 },
      splitLine: { lineStyle: { color: palette.line } },
    },
    series: [
      {
        type: "bar",
        barWidth: Math.max(slotWidth * 0.74, 1),
        data: slots.map((slot, index) => {
          const colour = palette[slot.period === null ? "mid" : level(slot.period)];
          const guessed = slot.quality === "estimated" || slot.quality === "substituted";
          return {
            value: [index + 0.5, slot.kwh === null ? "-" : Number(slot.kwh)],
            itemStyle: guessed
              ? {
                  color: palette.card,
                  borderColor: colour,
                  borderWidth: 1,
                  decal: {
                    symbol: "rect",
                    color: colour,
                    dashArrayX: [1, 0],
                    dashArrayY: [1.5, 3],
                    rotation: -Math.PI / 4,
                  },
                }
              : { color: colour, borderRadius: slotWidth > 5 ? [2, 2, 0, 0] : 0 },
          };
        }),
        markArea: {
          silent: true,
          data: [
            ...bands(slots).map((band) => [
              {
                xAxis: band.first,
                itemStyle: { color: soft[level(band.period)], opacity: 0.75 },
                label: {
                  show: (band.last + 1 - band.first) * slotWidth >= LABEL_PX,
                  formatter: name(band.period),
                  position: "top",
                  color: palette.dim,
                  fontSize: 12,
                },
              },
              { xAxis: band.last + 1 },
            ]),
            ...gaps.map((gap) => [
              {
                xAxis: gap.first,
                itemStyle: {
                  color: palette.card,
                  opacity: 1,
                  borderColor: palette.edge,
                  borderWidth: 1,
                  borderType: "dashed",
                },
                label: { show: false },
              },
              { xAxis: gap.last + 1 },
            ]),
          ],
        },
      },
    ],
  };
}

import type { EChartsCoreOption } from "echarts/core";
import { useCallback } from "react";
import type { ArrivalPoint, OverviewView } from "../api/client";
import type { Palette } from "../palette";
import { Chart } from "../ui/Chart";
import { Card, Disclosure, Empty, TableFrame } from "../ui/Parts";
import { useSpeech } from "../words";
import classes from "./ArrivalsCard.module.css";

const HEIGHT = 220;

/** Is the data coming in? Each quarter of an hour: what came, and on top of it what is missing. */
export function ArrivalsCard({ arrivals, zone }: { arrivals: OverviewView["arrivals"]; zone: string }) {
  const { words, show } = useSpeech();
  const { recent, last_batch_at: last } = arrivals;
  const option = useCallback(
    (palette: Palette, width: number): EChartsCoreOption =>
      arrivalsChart({
        recent,
        palette,
        width,
        time: (at) => show.time(at, zone),
        said: (point) =>
          [
            show.dayTime(point.start, zone),
            `${words.arrivals.arrived} ${show.count(point.count)}`,
            `${words.arrivals.expected} ${show.count(point.expected)}`,
          ].join("\n"),
      }),
    [recent, words, show, zone],
  );
  const came = recent.reduce((sum, point) => sum + point.count, 0);
  const due = recent.reduce((sum, point) => sum + point.expected, 0);
  // The newest quarter of an hour is still on its way: what it lacks is not missing yet.
  const newest = recent.at(-1);
  const coming = newest === undefined ? 0 : Math.max(newest.expected - newest.count, 0);
  const short = recent.slice(0, -1).reduce((sum, point) => sum + Math.max(point.expected - point.count, 0), 0);
  return (
    <Card
      id="arrivals"
      title={words.arrivals.title}
      aside={[
        words.arrivals.stored(show.count(arrivals.stored_total)),
        last === null ? words.arrivals.noBatch : words.arrivals.lastBatch(show.time(last, zone)),
      ].join(" · ")}
    >
      {recent.length === 0 ? (
        <Empty title={words.arrivals.none}>{words.arrivals.noneLead}</Empty>
      ) : (
        <>
          <Chart label={words.arrivals.chart(show.count(came), show.count(due))} height={HEIGHT} option={option} />
          <ul className={classes.legend}>
            <li>
              <span className={`${classes.swatch ?? ""} ${classes.arrived ?? ""}`} />
              {words.arrivals.arrived}
            </li>
            <li>
              <span className={`${classes.swatch ?? ""} ${classes.short ?? ""}`} />
              {short > 0 ? words.arrivals.short(show.count(short)) : words.arrivals.complete}
            </li>
            {coming > 0 && (
              <li>
                <span className={`${classes.swatch ?? ""} ${classes.coming ?? ""}`} />
                {words.arrivals.coming(show.count(coming))}
              </li>
            )}
          </ul>
          <Disclosure label={words.shell.table}>
            <TableFrame label={words.shell.tableOf(words.arrivals.title)}>
              <thead>
                <tr>
                  <th scope="col">{words.arrivals.time}</th>
                  <th scope="col">{words.arrivals.arrived}</th>
                  <th scope="col">{words.arrivals.expected}</th>
                </tr>
              </thead>
              <tbody>
                {recent.toReversed().map((point) => (
                  <tr key={point.start}>
                    <th scope="row">{show.dayTime(point.start, zone)}</th>
                    <td>{show.count(point.count)}</td>
                    <td>{show.count(point.expected)}</td>
                  </tr>
                ))}
              </tbody>
            </TableFrame>
          </Disclosure>
        </>
      )}
    </Card>
  );
}

interface ArrivalsChart {
  recent: readonly ArrivalPoint[];
  palette: Palette;
  width: number;
  time: (at: string) => string;
  said: (point: ArrivalPoint) => string;
}

function arrivalsChart({ recent, palette, width, time, said }: ArrivalsChart): EChartsCoreOption {
  const every = width < 520 ? 6 : 3;
  const ticks = recent.flatMap(({ start }, index) => {
    const [hour = "", minute = ""] = time(start).split(":");
    return minute === "00" && Number(hour) % every === 0 ? [index] : [];
  });
  const left = 44;
  const right = 10;
  const barWidth = Math.max(((width - left - right) / Math.max(recent.length, 1)) * 0.72, 1);
  const coming = { color: palette.card, borderColor: palette.edge, borderWidth: 1, borderType: "dashed" };
  const missing = {
    color: palette.badSoft,
    borderColor: palette.bad,
    borderWidth: 1,
    decal: { symbol: "rect", color: palette.bad, dashArrayX: [1, 0], dashArrayY: [1.5, 3], rotation: -Math.PI / 4 },
  };
  const bar = { type: "bar", stack: "intervals", barWidth };
  return {
    animation: false,
    textStyle: { fontFamily: "inherit" },
    grid: { left, right, top: 14, bottom: 24 },
    tooltip: {
      trigger: "axis",
      renderMode: "richText",
      backgroundColor: palette.card,
      borderColor: palette.edge,
      textStyle: { color: palette.ink, fontSize: 13, lineHeight: 19 },
      axisPointer: { type: "line", lineStyle: { color: palette.edge } },
      formatter: (shown: { dataIndex: number }[]) => {
        const point = recent[shown[0]?.dataIndex ?? -1];
        return point === undefined ? "" : said(point);
      },
    },
    xAxis: {
      type: "value",
      min: 0,
      max: recent.length,
      splitLine: { show: false },
      axisLine: { lineStyle: { color: palette.edge } },
      axisTick: { show: true, customValues: ticks, lineStyle: { color: palette.edge } },
      axisLabel: {
        customValues: ticks,
        color: palette.dim,
        fontSize: 12,
        formatter: (index: number) => time(recent[index]?.start ?? ""),
      },
    },
    yAxis: {
      type: "value",
      splitNumber: 3,
      minInterval: 1,
      max: Math.max(1, ...recent.map(({ count, expected }) => Math.max(count, expected))),
      axisLabel: { color: palette.dim, fontSize: 12, showMaxLabel: false },
      splitLine: { lineStyle: { color: palette.line } },
    },
    series: [
      {
        ...bar,
        itemStyle: { color: palette.accent },
        data: recent.map(({ count }, index) => [index + 0.5, count]),
      },
      {
        ...bar,
        data: recent.map(({ count, expected }, index) => ({
          value: [index + 0.5, expected > count ? expected - count : "-"],
          itemStyle: index === recent.length - 1 ? coming : missing,
        })),
      },
    ],
  };
}

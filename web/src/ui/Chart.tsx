import { Skeleton, useComputedColorScheme } from "@mantine/core";
import type { EChartsCoreOption, EChartsType } from "echarts/core";
import { useEffect, useRef, useState } from "react";
import { dark, light, type Palette } from "../palette";

interface ChartProps {
  /** What the picture shows, in a sentence, and where its figures can be read. */
  label: string;
  height: number;
  option: (palette: Palette, width: number) => EChartsCoreOption;
}

/** An ECharts picture. The library is fetched when the first picture is drawn; until then a bar of the same height. */
export function Chart({ label, height, option }: ChartProps) {
  const scheme = useComputedColorScheme("light", { getInitialValueInEffect: false });
  const place = useRef<HTMLDivElement>(null);
  const [chart, setChart] = useState<EChartsType | null>(null);
  const [width, setWidth] = useState(0);

  useEffect(() => {
    const element = place.current;
    if (element === null) return undefined;
    let made: EChartsType | null = null;
    let gone = false;
    const watcher = new ResizeObserver(() => {
      made?.resize();
      setWidth(element.clientWidth);
    });
    void import("./echarts").then(({ init }) => {
      if (gone) return;
      made = init(element, null, { renderer: "svg" });
      setChart(made);
      setWidth(element.clientWidth);
      watcher.observe(element);
    });
    return () => {
      gone = true;
      watcher.disconnect();
      made?.dispose();
      setChart(null);
    };
  }, []);

  useEffect(() => {
    if (chart === null || width === 0) return;
    chart.setOption(option(scheme === "dark" ? dark : light, width), { notMerge: true });
  }, [chart, option, scheme, width]);

  return (
    <div role="img" aria-label={label} style={{ position: "relative", height }}>
      {chart === null && <Skeleton height={height} radius="md" style={{ position: "absolute" }} />}
      <div ref={place} style={{ height }} />
    </div>
  );
}

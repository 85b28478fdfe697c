/** Only the parts of ECharts we draw with; this module is one lazy chunk. */

import { BarChart } from "echarts/charts";
import { GridComponent, MarkAreaComponent, TooltipComponent } from "echarts/components";
import { init, use as install } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";

install([BarChart, GridComponent, MarkAreaComponent, TooltipComponent, SVGRenderer]);

export { init };

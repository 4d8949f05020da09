// What a dashboard may hold, by Grafana's own types of dashboards and of the panels that ours has.
import type { AnnotationQuery, Dashboard, FieldConfigSource, Panel } from "@grafana/schema";
import type * as stat from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type * as table from "@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen";
import type * as timeseries from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";

// As JSON has it: the values of an enumeration, and what has a default may be left out.
type Plain<T> = T extends string ? `${T}` : T extends object ? { [K in keyof T]?: Plain<T[K]> } : T;

// What Prometheus's data source takes.
type Query = {
  refId: string;
  expr: string;
  legendFormat?: string;
  format?: "table" | "time_series" | "heatmap";
  instant?: boolean;
};

type Fields<Custom> = Omit<Plain<FieldConfigSource>, "defaults"> & {
  defaults: Omit<NonNullable<Plain<FieldConfigSource>["defaults"]>, "custom"> & { custom?: Plain<Custom> };
};

type PanelOf<Type extends string, Options, Custom> = Omit<Plain<Panel>, "type" | "options" | "fieldConfig" | "targets"> & {
  id: number;
  title: string;
  type: Type;
  targets: Query[];
  options: Plain<Options>;
  fieldConfig: Fields<Custom>;
};

export type OurDashboard = Omit<Plain<Dashboard>, "panels" | "annotations"> & {
  schemaVersion: number;
  annotations: { list: Array<Omit<Plain<AnnotationQuery>, "target"> & { target: Query; titleFormat: string }> };
  panels: Array<
    | PanelOf<"stat", stat.Options, never>
    | PanelOf<"table", table.Options, never>
    | PanelOf<"timeseries", timeseries.Options, timeseries.FieldConfig>
  >;
};
